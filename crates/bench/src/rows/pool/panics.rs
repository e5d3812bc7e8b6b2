//! A job that panics, until the next one is done by the pool's one worker.

use std::panic;
use std::time::{Duration, Instant};

use super::engine::{Ours, Work};
use super::factory::{FactoryJob, FactoryKind, TheirFactory};
use crate::contest::{BenchRow, Contest, Peer};
use crate::measured::Measured;
use crate::stage::{Stage, as_task, started};

const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("pool_panic_until_next_job", 1, panicking)]
}

fn panicking(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let pool = Ours::start(&stage, 1).pool;
    let ours = as_task(&stage.runtime, move |operations| {
        let pool = pool.clone();
        async move {
            let begun = Instant::now();
            for _ in 0..operations {
                started(pool.cast(Work::Panic));
                started(pool.call(Work::Nothing, LIMIT).await);
            }
            begun.elapsed()
        }
    });
    let factory = TheirFactory::start(&stage, FactoryKind::Queuer, 1).factory;
    let peer = as_task(&stage.runtime, move |operations| {
        let factory = factory.clone();
        async move {
            let begun = Instant::now();
            for _ in 0..operations {
                started(factory.dispatch(0, FactoryJob::new(Work::Panic)));
                let answer = started(factory.call_job(0, FactoryJob::call, Some(LIMIT)).await);
                started(answer.success_or("the job is lost"));
            }
            begun.elapsed()
        }
    });
    silently(|| contest.between(ours, [Peer::new("ractor's factory, which loses the job", 1.2, peer)]))
}

/// Panics are not printed meanwhile.
fn silently<T>(work: impl FnOnce() -> T) -> T {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let result = work();
    panic::set_hook(hook);
    result
}
