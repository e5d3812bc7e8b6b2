//! A pool under a random script, by seed, in paused time: jobs of every kind, put in in every way, workers that are killed
//! and that do not start, a pool that is resized, paused, routed anew, drained, collapses, is restarted and is shut down.
//!
//! A seed makes a [`script`]; the [`driver`] plays it; all jobs, workers and callers write into one [`record`], of which
//! the [`rules`] are functions. A seed that breaks a rule is made [shorter](shrink) before it is shown.
//!
//! `POOL_SIMULATION_SEED=4711` plays this one seed, and prints it; `POOL_SIMULATION_SEEDS=100000` plays more of them.

mod author;
mod driver;
mod record;
mod rules;
mod script;
mod shrink;
mod worker;

use std::env;
use std::ops::Range;

use record::{Entry, Record, describe};
use rules::Broken;
use script::Script;

/// The default number of seeds.
const SEEDS: u64 = 1_000;
/// A quarter of the seeds each, so that they run side by side.
const SHARES: u64 = 4;

fn from_environment(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is to be a number, and is {text:?}")))
}

/// Plays a script; what was seen of it, and the first rule that it broke.
fn play(script: &Script) -> (Vec<Entry>, Result<(), Broken>) {
    let mut record = None;
    let played = driver::play(script, |of| record = Some(Record::clone(of)));
    let entries = record.map_or_else(Vec::new, |record| record.entries());
    let checked = played.and_then(|figures| rules::check(script, &entries, &figures));
    (entries, checked)
}

/// Plays each of the seeds; the first one that fails is shown, and the others named.
fn play_seeds(seeds: impl Iterator<Item = u64>) {
    let scripts = seeds.map(Script::of);
    let failed = scripts.filter_map(|script| play(&script).1.err().map(|broken| (script, broken)));
    let failed: Vec<_> = failed.collect();
    if let Some((script, broken)) = failed.first() {
        let others = failed.iter().map(|(script, broken)| format!("{} ({})", script.seed, broken.rule));
        panic!("{}\n\nall that fail: {}", failure(script, broken), others.collect::<Vec<_>>().join(", "));
    }
}

/// The message for a seed that fails: the shortest script that still fails, and how to repeat it.
fn failure(script: &Script, broken: &Broken) -> String {
    let fails = |script: &Script| play(script).1.is_err_and(|other| other.rule == broken.rule);
    let short = shrink::shrink(script, fails);
    let (entries, again) = play(&short);
    let broken = again.err().unwrap_or_else(|| broken.clone());
    let (seed, seen) = (script.seed, describe(&entries));
    format!(
        "seed {seed} breaks a rule: {broken}\n\nthe shortest script that breaks it:\n{short}\nwhat was seen of it:\n{seen}\n\
         to see it again: POOL_SIMULATION_SEED={seed} cargo test -p foundation-tests --test pool simulation::this_seed"
    )
}

fn play_share(number: u64) {
    let seeds = from_environment("POOL_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let share: Range<u64> = seeds * number / SHARES..seeds * (number + 1) / SHARES;
    if from_environment("POOL_SIMULATION_SEED").is_none() {
        play_seeds(share);
    }
}

#[test]
fn every_script_of_the_first_quarter_keeps_the_rules() {
    play_share(0);
}

#[test]
fn every_script_of_the_second_quarter_keeps_the_rules() {
    play_share(1);
}

#[test]
fn every_script_of_the_third_quarter_keeps_the_rules() {
    play_share(2);
}

#[test]
fn every_script_of_the_last_quarter_keeps_the_rules() {
    play_share(3);
}

/// The seed of `POOL_SIMULATION_SEED`, or the first one.
#[test]
fn this_seed() {
    let asked = from_environment("POOL_SIMULATION_SEED");
    let script = Script::of(asked.unwrap_or(0));
    if asked.is_some() {
        println!("{script}\n{}", describe(&play(&script).0));
    }
    play_seeds([script.seed].into_iter());
}
