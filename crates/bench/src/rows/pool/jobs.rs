//! Many small jobs, until all are done.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::engine::{Engine, Ours, Work, performed};
use super::factory::{FactoryKind, TheirFactory};
use super::plain::{Channels, Spawned};
use crate::contest::{BenchRow, Contest, Peer};
use crate::measured::Measured;
use crate::sample::{Batch, Sample};
use crate::stage::{Stage, as_task};

const SOME_WORK: Work = Work::Spin(Duration::from_micros(50));
const KEYS: u64 = 1_000;

pub(super) fn rows() -> Vec<BenchRow> {
    vec![
        BenchRow::new("pool_jobs_2_workers", 2, |contest| trivial(contest, 2)),
        BenchRow::new("pool_jobs_8_workers", 2, |contest| trivial(contest, 8)),
        BenchRow::new("pool_jobs_by_key_1000", 2, by_key),
        BenchRow::new("pool_jobs_50us_cpu", 2, processor_time),
    ]
}

fn trivial(contest: &mut Contest<'_>, workers: usize) -> Vec<Measured> {
    let stage = Stage::set();
    let peers = [
        Peer::new(
            "ractor's factory, queuer",
            0.12,
            batch(&stage, TheirFactory::start(&stage, FactoryKind::Queuer, workers)),
        ),
        Peer::new("a bare channel for each worker", 2.0, batch(&stage, Channels::start(&stage, workers))),
        Peer::new("tokio::spawn after a permit", 0.40, batch(&stage, Spawned::new(workers))),
    ];
    contest.between(batch(&stage, Ours::start(&stage, workers)), peers)
}

fn by_key(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let peer = batch(&stage, TheirFactory::start(&stage, FactoryKind::KeyPersistent, 8));
    let ours = batch(&stage, Ours::start(&stage, 8).keyed(KEYS));
    contest.between(ours, [Peer::new("ractor's factory, key persistent", 0.15, peer)])
}

fn batch(stage: &Stage, engine: impl Engine) -> Batch<'static> {
    as_task(&stage.runtime, move |operations| performed(engine.clone(), operations, Work::Nothing))
}

/// The processor's time of the whole process for a job of 50 µs, those 50 included.
fn processor_time(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let peer =
        Peer::new("ractor's factory, queuer", 0.95, used(&stage, TheirFactory::start(&stage, FactoryKind::Queuer, 8)));
    contest.between(used(&stage, Ours::start(&stage, 8)), [peer])
}

fn used(stage: &Stage, engine: impl Engine) -> Batch<'static> {
    let mut run = as_task(&stage.runtime, move |operations| performed(engine.clone(), operations, SOME_WORK));
    Box::new(move |operations| {
        let before = process_time();
        run(operations);
        Sample::Took(process_time().saturating_sub(before))
    })
}

fn process_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
