//! How long jobs of 50 µs take from being put in until they are done, at a steady load.

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use super::engine::{Engine, Ours, Work, performed};
use super::factory::{FactoryKind, TheirFactory};
use crate::contest::{BenchRow, Contest};
use crate::measured::{Comparison, Measured, RowLimit};
use crate::stage::{Stage, started};

const WORK: Duration = Duration::from_micros(50);
const TICK: Duration = Duration::from_millis(1);
/// The jobs that show how many the machine can do.
const TRIAL: u64 = 20_000;
const WORKERS: usize = 8;

pub(super) fn rows() -> Vec<BenchRow> {
    vec![
        BenchRow::new("pool_latency_80_percent", 2, |contest| latency(contest, 0.80)),
        BenchRow::new("pool_latency_95_percent", 2, |contest| latency(contest, 0.95)),
    ]
}

/// The median and the ninth decile; the 99th percentile of wall times does not repeat.
fn latency(contest: &mut Contest<'_>, load: f64) -> Vec<Measured> {
    let stage = Stage::set();
    let (ours, theirs) = (Ours::start(&stage, WORKERS), TheirFactory::start(&stage, FactoryKind::Queuer, WORKERS));
    let (ticks, rate) = ((contest.effort.each.as_millis() as u64).max(200), load * capacity(&stage, &ours));
    let rounds = (0..contest.effort.repetitions.max(3))
        .map(|_| (deciles(run(&stage, &ours, ticks, rate)), deciles(run(&stage, &theirs, ticks, rate))));
    let rounds: Vec<_> = rounds.collect();
    let line = |what: &str, at: usize, limit| {
        let ours = middle(rounds.iter().map(|(ours, _)| ours[at]));
        let peer = middle(rounds.iter().map(|(_, theirs)| theirs[at]));
        Measured {
            name: contest.row.name,
            threads: contest.row.threads,
            peer: format!("ractor's factory, queuer: {what}"),
            figures: Comparison::Nanoseconds { ours, peer },
            limit: Some(RowLimit::Ratio(limit)),
        }
    };
    vec![line("median", 0, 1.15), line("ninth decile", 1, 1.0)]
}

/// The jobs per tick that the machine can do.
fn capacity(stage: &Stage, engine: &Ours) -> f64 {
    let task = stage.runtime.spawn(performed(engine.clone(), TRIAL, Work::Spin(WORK)));
    let took = started(stage.runtime.block_on(task));
    TRIAL as f64 * TICK.as_secs_f64() / took.as_secs_f64()
}

/// Puts jobs in at each tick, and returns how long each took.
fn run(stage: &Stage, engine: &impl Engine, ticks: u64, per_tick: f64) -> Vec<Duration> {
    let engine = engine.clone();
    let task = stage.runtime.spawn(async move {
        let jobs = (ticks as f64 * per_tick) as u64;
        engine.tally().expect(jobs);
        let (mut clock, mut put) = (interval(TICK), 0);
        clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for tick in 1..=ticks {
            clock.tick().await;
            let due = if tick == ticks { jobs } else { (tick as f64 * per_tick) as u64 };
            while put < due {
                engine.put(put, Work::Timed(WORK, Instant::now())).await;
                put += 1;
            }
        }
        engine.tally().all_done().await;
        engine.tally().take_times()
    });
    started(stage.runtime.block_on(task))
}

fn deciles(mut times: Vec<Duration>) -> [f64; 2] {
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 10).map_or(f64::NAN, |time| time.as_nanos() as f64);
    [at(5), at(9)]
}

fn middle(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deciles_are_those_of_the_sorted_times() {
        let times = (1..=100).rev().map(Duration::from_nanos).collect();
        assert_eq!(deciles(times), [51.0, 91.0]);
        assert_eq!(middle([9.0, 1.0, 5.0].into_iter()), 5.0);
    }
}
