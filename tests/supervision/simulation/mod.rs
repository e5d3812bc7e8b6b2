//! Deterministic simulation: a tree of supervisors under a random script of crashes, hangs, slow stops and requests, on a
//! paused clock, and the invariants of every run.
//!
//! A seed makes a [`script`]: the [`shape`] of a tree and the operations on it. The [`driver`] plays it; every actor
//! writes into one log, the [`record`]. The [`invariants`] are functions of that log. A seed that breaks one is made
//! [shorter](shrink) before it is shown.
//!
//! `SIMULATION_SEED=4711` plays this one seed, and prints it; `SIMULATION_SEEDS=100000` plays more of them.

mod causes;
mod dice;
mod driver;
mod history;
mod invariants;
mod plant;
mod player;
mod record;
mod requests;
mod script;
mod shape;
mod shrink;
mod stage;
mod world;

use std::fmt::Write;
use std::ops::Range;

use invariants::{Broken, check};
use script::Script;

/// The default number of seeds.
const SEEDS: u64 = 1_000;

/// A quarter of the seeds each, so that they run side by side.
const SHARES: u64 = 4;

fn from_environment(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is to be a number, and is {text:?}")))
}

fn share(number: u64) -> Range<u64> {
    let seeds = from_environment("SIMULATION_SEEDS").unwrap_or(SEEDS);
    seeds * number / SHARES..seeds * (number + 1) / SHARES
}

fn play(script: &Script) -> Result<(), Broken> {
    check(&script.shape, &driver::run(script))
}

fn play_seeds(seeds: Range<u64>) {
    if from_environment("SIMULATION_SEED").is_none() {
        seeds.for_each(play_seed);
    }
}

fn play_seed(seed: u64) {
    let script = Script::of(seed);
    if let Err(broken) = play(&script) {
        panic!("{}", failure(&script, &broken));
    }
}

/// The message for a seed that fails: the smallest script that still fails, and how to repeat it.
fn failure(script: &Script, broken: &Broken) -> String {
    let same = |script: &Script| play(script).is_err_and(|other| other.rule == broken.rule);
    let without_end = broken.rule == invariants::TIME_GOES_ON;
    let short = if without_end { script.clone() } else { shrink::shrink(script, same) };
    let record = driver::run(&short);
    let broken = check(&short.shape, &record).err().unwrap_or_else(|| broken.clone());
    let mut text = format!("seed {} breaks a rule: {broken}\n\n", script.seed);
    let _ = write!(
        text,
        "the shortest script that breaks it:\n{short}\nwhat was seen of it:\n{}\n",
        record.describe(&short.shape)
    );
    let _ = write!(
        text,
        "to see it again: SIMULATION_SEED={} cargo test -p foundation-tests --test supervision simulation::this_seed",
        script.seed
    );
    text
}

#[test]
fn every_seed_of_the_first_quarter_keeps_the_rules() {
    play_seeds(share(0));
}

#[test]
fn every_seed_of_the_second_quarter_keeps_the_rules() {
    play_seeds(share(1));
}

#[test]
fn every_seed_of_the_third_quarter_keeps_the_rules() {
    play_seeds(share(2));
}

#[test]
fn every_seed_of_the_last_quarter_keeps_the_rules() {
    play_seeds(share(3));
}

/// The seed of `SIMULATION_SEED`, or the first one.
#[test]
fn this_seed() {
    let asked = from_environment("SIMULATION_SEED");
    let script = Script::of(asked.unwrap_or(0));
    if asked.is_some() {
        println!("{script}\n{}", driver::run(&script).describe(&script.shape));
    }
    play_seed(script.seed);
}

/// Each member's own history: see [`record::Record::histories`].
#[test]
fn the_same_seed_gives_the_same_histories_twice() {
    for seed in 0..40 {
        let script = Script::of(seed);
        assert_eq!(script, Script::of(seed));
        let histories = || driver::run(&script).histories(&script.shape);
        for (once, again) in histories().into_iter().zip(histories()) {
            let differs = once.iter().zip(&again).position(|(one, other)| one != other);
            let differs = differs.unwrap_or(once.len().min(again.len()));
            let rest = |history: &[String]| history[differs..].first().cloned();
            assert_eq!(rest(&once), rest(&again), "seed {seed}, after {:?}\n{script}", &once[..differs]);
        }
    }
}
