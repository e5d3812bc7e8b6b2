//! Side-by-side benchmarks: foundation and its peers in one run on one machine, as ratios.
//!
//! `cargo run --release -p foundation-bench` prints a table. After `--`: `--json` prints one object a line, `--filter
//! NAME` runs the rows whose name contains it, `--quick` measures for a shorter time.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "to print its results is what a benchmark is for")]

mod actors;
mod measure;
mod options;
mod row;
mod rows;

use std::process::ExitCode;

use options::Options;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("foundation-bench: {error}");
            return ExitCode::from(2);
        }
    };
    if !options.json {
        println!("{}", row::HEADING);
    }
    let mut measured = 0;
    for row in rows::all().into_iter().filter(|row| options.wants(row.name)) {
        let result = row.measure(&options.effort());
        println!("{}", if options.json { result.json() } else { result.to_string() });
        measured += 1;
    }
    if measured == 0 {
        eprintln!("foundation-bench: no row is named like that; there are: {}", rows::names().join(", "));
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}
