//! Acknowledged events survive the kill of their process and a disk that fills up.
//!
//! The child is this very binary, selected by its environment: a foundation with its events in SQLite, in which 16
//! tasks append one by one and in batches, with keys and without, while the store prunes and gives space back; each answer
//! is printed. `.ci/run` runs the hundred rounds; `FOUNDATION_CRASH_SEED` repeats them from a seed, as far as a random
//! moment can be repeated.

mod batches;
mod child;
mod jobs;
mod ledger;
mod mark;
mod output;

use std::env;
use std::path::Path;
use std::time::Duration;

use ledger::Ledger;
use output::{CHILD, Output, start};
use tokio::runtime::Runtime;

const ROUNDS: u32 = 100;

/// Not a test: started by the tests.
#[test]
fn child() {
    let Ok(play) = env::var(CHILD) else { return };
    let (life, directory) = play.split_once(' ').unwrap();
    child::append_for_life(life.parse().unwrap(), Path::new(directory));
}

fn seed() -> u64 {
    match env::var("FOUNDATION_CRASH_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => fastrand::u64(..),
    }
}

#[test]
#[ignore = "takes a minute; `cargo test --test crash -- --ignored`"]
fn no_acknowledged_event_is_lost_or_duplicated_by_a_hundred_kills() {
    let (directory, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let directory = directory.path();
    let seed = seed();
    println!("FOUNDATION_CRASH_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut ledger, mut life, mut in_opening) = (Ledger::default(), 0, 0);
    for round in 1..=ROUNDS {
        // In some rounds it is killed again, before or after it has recovered from the first time.
        for _ in 0..random.u32(1..=2) {
            life += 1;
            let time = Duration::from_micros(random.u64(1_000..250_000));
            let output = Output::until_killed(start(None, life, directory), time);
            assert!(output.failures.is_empty(), "life {life}: {:?}", output.failures);
            in_opening += u32::from(output.acknowledged.is_empty());
            ledger.enter(output.acknowledged);
        }
        runtime.block_on(ledger.compare(directory));
        if round % 10 == 0 {
            life += 1;
            runtime.block_on(ledger.prune(directory, life));
        }
        println!("round {round}: {} acknowledged, {} recorded", ledger.len(), ledger.highest());
    }
    println!("{life} lives, {in_opening} of them ended before the first answer");
    assert!(ledger.len() > 1_000, "only {} events were acknowledged", ledger.len());
    assert!(in_opening < life / 2, "hardly any kill hit an append");
}

/// The system cuts a write short at the limit and refuses the next one, as a disk does when it is full.
#[cfg(unix)]
#[test]
fn a_disk_that_fills_during_a_write_is_reported_and_loses_nothing_and_the_store_continues_with_space() {
    let (directory, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let directory = directory.path();
    let mut ledger = Ledger::default();
    let child = start(Some("trap '' XFSZ; ulimit -f 1001; exec \"$@\""), 1, directory);
    let output = Output::until_the_end(child);

    assert!(!output.acknowledged.is_empty());
    // A request after the failure finds the store ending.
    let is_explained = |failure: &String| {
        let names_the_file = failure.contains("failed in") && failure.contains("production.db");
        names_the_file && (failure.contains("disk I/O error") || failure.contains("full"))
    };
    assert!(output.failures.iter().any(is_explained), "{:?}", output.failures);
    ledger.enter(output.acknowledged);
    // With space again, it goes on.
    runtime.block_on(ledger.compare(directory));
    let recorded = ledger.highest();
    runtime.block_on(ledger.prune(directory, 2));
    runtime.block_on(ledger.compare(directory));
    assert!(ledger.highest() > recorded);
}
