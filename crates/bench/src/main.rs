//! Side-by-side benchmarks: foundation and its peers in one run on one machine, as ratios.
//!
//! `cargo run --release -p foundation-bench` prints a table, `-- --help` says what else there is. How it measures, and what
//! came of it, is in `docs/performance.md`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "to print its results is what a benchmark is for")]

mod actors;
mod bare_log;
mod contest;
mod effort;
mod events;
mod external;
mod measured;
mod memory;
mod options;
mod pair;
mod peers;
mod rows;
mod sample;
mod stage;

use std::process::ExitCode;

use contest::BenchRow;
use contest::Contest;
use options::{Options, RunMode, USAGE};

fn main() -> ExitCode {
    let rows = rows::all();
    let names: Vec<_> = rows.iter().map(|row| row.name).collect();
    match RunMode::parse(std::env::args().skip(1), &names) {
        Ok(RunMode::Measure(options)) => measure(&options, &rows),
        Ok(RunMode::Pose(scene)) => {
            println!("{}", scene.bytes());
            ExitCode::SUCCESS
        }
        Ok(RunMode::Help) => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("foundation-bench: {error}");
            ExitCode::from(2)
        }
    }
}

fn measure(options: &Options, rows: &[BenchRow]) -> ExitCode {
    let (mut externals, absent) = peers::externals(options.peers);
    for reason in absent {
        eprintln!("foundation-bench: {reason}");
    }
    if !options.json {
        println!("{}", measured::HEADING);
    }
    let mut over = false;
    for row in rows.iter().filter(|row| options.wants(row.name)) {
        let measured = (row.run)(&mut Contest { row, effort: options.effort(), externals: &mut externals });
        if measured.is_empty() {
            eprintln!("foundation-bench: {}: no figures, since no repetition counts", row.name);
            over = true;
        }
        for line in measured {
            println!("{}", if options.json { line.json() } else { line.to_string() });
            over |= line.is_over();
        }
    }
    if over && options.check { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
