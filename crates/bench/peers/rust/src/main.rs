//! Peers of foundation that run in a process of their own and are measured on request.
//!
//! It first writes a line `ROW<tab>PEER` for each row that it can measure, then an empty one. It answers each line
//! `ROW<tab>OPERATIONS` with the nanoseconds that they took, or with `discarded NANOSECONDS` if two threads that must
//! run side by side did not. It ends with its input.

mod actors;
mod crowd;
mod lookup;
mod pair;
mod restart;
mod start;

use std::collections::HashMap;
use std::io::{BufRead, Write, stdin, stdout};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// The result of one repetition.
enum Sample {
    Took(Duration),
    Discarded(Duration),
}

/// Runs an operation this many times.
type Batch = Box<dyn FnMut(u64) -> Sample>;

/// A row's name, the peer's name, and the set-up that runs at the first request.
type Offer = (&'static str, &'static str, fn() -> Batch);

const KAMEO: &str = "kameo lookup";
const SUPERVISOR: &str = "ractor-supervisor";

const OFFERS: [Offer; 6] = [
    ("lookup_1t", KAMEO, lookup::alone),
    ("lookup_2t_own_names", KAMEO, lookup::own_names),
    ("lookup_2t_same_name", KAMEO, lookup::same_name),
    ("lookup_random_100k", KAMEO, crowd::random),
    ("supervise_named", SUPERVISOR, start::supervise),
    ("restart", SUPERVISOR, restart::restart),
];

fn main() -> std::io::Result<()> {
    let mut out = stdout().lock();
    for (row, peer, _) in OFFERS {
        writeln!(out, "{row}\t{peer}")?;
    }
    writeln!(out)?;
    out.flush()?;

    let mut batches = HashMap::new();
    for line in stdin().lock().lines() {
        let line = line?;
        let (row, operations) = line.split_once('\t').ok_or_else(|| not_understood(&line))?;
        let operations = operations.parse().map_err(|_| not_understood(&line))?;
        let (row, _, set_up) =
            OFFERS.into_iter().find(|(known, ..)| *known == row).ok_or_else(|| not_understood(&line))?;
        let batch = batches.entry(row).or_insert_with(set_up);
        match batch(operations) {
            Sample::Took(took) => writeln!(out, "{}", took.as_nanos())?,
            Sample::Discarded(took) => writeln!(out, "discarded {}", took.as_nanos())?,
        }
        out.flush()?;
    }
    Ok(())
}

fn not_understood(line: &str) -> std::io::Error {
    std::io::Error::other(format!("not understood: {line:?}"))
}

fn runtime() -> Runtime {
    started(Builder::new_multi_thread().worker_threads(2).enable_all().build())
}

/// A benchmark whose set-up fails has nothing to measure.
fn started<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("a benchmark cannot be set up: {error}"))
}
