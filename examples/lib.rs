//! What the examples share: headings, tables, settings, the lines of a file, and how they end.
//!
//! Start with `hello`, an actor that crashes and is found again, then `quickstart`, the main job from start to end.
//! `supervision_tree` shows the rules of restarting, and `isolated_tests` a thousand namespaces side by side;
//! `config_watch` edits its settings while it runs, `event_log` kills itself while it records events, `discovery`
//! chooses among instances that fail, are slow, or are lost, `managed` replaces a service under load and undoes a
//! batch, `worker_pool` follows a load that rises and falls while workers panic and hang, `durable_jobs` is killed
//! while it works and goes on, and `telemetry_handlers` reacts to slow queries and exports its numbers. Each runs with `cargo run --example NAME`.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Termination};

use foundation::{ConfigServer, Foundation, ShutdownReport};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, BufReader};

/// The error of an example: any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The end of an example: the exit code of its shutdown, which is 1 after a collapse, or 1 with what went wrong on
/// stderr.
pub fn exit(outcome: Result<impl Termination, BoxError>) -> ExitCode {
    match outcome {
        Ok(end) => end.report(),
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
const WIDEST: usize = 110;

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

/// Prints the settings, their values as they may be shown, and where each comes from. Environment variables that look
/// like a mistake are named on stderr.
pub fn print_settings(config: &ConfigServer) {
    let (tree, shown) = (config.tree(), config.tree().export());
    let mut table = Table::new(["setting", "value", "from"]);
    for (path, origin) in tree.paths().filter_map(|path| Some((path, tree.origin(path).ok()?))) {
        let value = path.segments().fold(&shown, |section, key| &section[key]);
        table.row([path, value, &origin]);
    }
    print!("{table}");
    tree.unknown_variables().iter().for_each(|unknown| eprintln!("warning: {unknown}"));
}

/// Shuts down, prints the report, and returns it, or what went wrong before.
///
/// # Errors
/// The failure of the outcome.
pub async fn shut_down(foundation: &Foundation, outcome: Result<(), BoxError>) -> Result<ShutdownReport, BoxError> {
    heading("Shutting down: the last started stops first");
    let report = foundation.shutdown().await;
    println!("{report}");
    outcome.map(|()| report)
}

/// The lines of a text file, one at a time.
pub struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    read: u64,
}

impl Lines {
    /// Opens a file.
    ///
    /// # Errors
    /// What the operating system says, with the path.
    pub async fn open(path: &Path) -> Result<Self, BoxError> {
        let mut reader = BufReader::new(File::open(path).await.map_err(|error| unreadable(path, error))?);
        // A folder can be opened, but not read.
        reader.fill_buf().await.map_err(|error| unreadable(path, error))?;
        Ok(Self { path: path.to_owned(), reader, read: 0 })
    }

    /// The next line without its end; `None` after the last. Bytes that are not UTF-8 become U+FFFD, which is not a
    /// letter: a text in an old encoding is still worth counting.
    ///
    /// # Errors
    /// What the operating system says, with the path.
    pub async fn next(&mut self) -> Result<Option<String>, BoxError> {
        let mut bytes = Vec::new();
        let read = self.reader.read_until(b'\n', &mut bytes).await;
        if read.map_err(|error| unreadable(&self.path, error))? == 0 {
            return Ok(None);
        }
        self.read += 1;
        let line = String::from_utf8_lossy(&bytes);
        Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned()))
    }

    /// The file's path, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many lines have been read.
    pub fn read(&self) -> u64 {
        self.read
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> BoxError {
    format!("{} cannot be read: {error}", path.display()).into()
}

/// A file of the workspace: in the current directory, or else where this was compiled, so that any directory will do.
pub fn in_workspace(name: &str) -> PathBuf {
    let here = Path::new(name);
    if here.exists() { here.to_owned() } else { Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(name) }
}
