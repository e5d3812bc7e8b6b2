//! What the examples share: headings, tables and how they end.
//!
//! Start with `quickstart`, the main job from start to end; `supervision_tree` shows the rules of restarting, and
//! `isolated_tests` a thousand namespaces side by side. Each runs with `cargo run --example NAME`.

use std::fmt::{self, Display};
use std::process::ExitCode;

/// The error of an example: anything that says what went wrong.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The end of an example: exit code 0, or 1 with what went wrong on stderr.
pub fn exit(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a heading with space above it.
pub fn heading(text: impl Display) {
    println!("\n=== {text}\n");
}

/// The longest cell that is shown in full, in characters.
const WIDEST: usize = 160;

/// Rows of text in aligned columns.
///
/// ```
/// let mut table = foundation_examples::Table::new(["word", "times"]);
/// table.row([&"registry", &12]);
/// assert_eq!(table.to_string(), "  word      times\n  registry  12\n");
/// ```
pub struct Table<const COLUMNS: usize> {
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table without rows but the one of its headings.
    pub fn new(headings: [&str; COLUMNS]) -> Self {
        Self { rows: vec![headings.map(str::to_owned)] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: [&dyn Display; COLUMNS]) {
        self.rows.push(cells.map(|cell| shortened(cell.to_string())));
    }

    fn width(&self, column: usize) -> usize {
        self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    }
}

fn shortened(cell: String) -> String {
    match cell.char_indices().nth(WIDEST) {
        Some((end, _)) => format!("{}…", &cell[..end]),
        None => cell,
    }
}

impl<const COLUMNS: usize> Display for Table<COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<_> = (0..COLUMNS).map(|column| self.width(column)).collect();
        self.rows.iter().try_for_each(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            writeln!(f, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end())
        })
    }
}
