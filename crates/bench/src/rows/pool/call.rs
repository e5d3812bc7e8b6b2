//! Calling a pool of eight idle workers, and waiting for the output.

use std::time::Duration;

use super::engine::{Ours, Work};
use super::factory::{FactoryJob, FactoryKind, TheirFactory};
use crate::contest::{BenchRow, Contest, Peer};
use crate::measured::Measured;
use crate::sample::Batch;
use crate::stage::{Stage, as_task, divided, started};

const WORKERS: usize = 8;
const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn rows() -> Vec<BenchRow> {
    vec![
        BenchRow::new("pool_call_1_caller", 1, |contest| calls(contest, 1)),
        BenchRow::new("pool_call_16_callers", 2, |contest| calls(contest, 16)).elixir(0.15),
    ]
}

fn calls(contest: &mut Contest<'_>, callers: u64) -> Vec<Measured> {
    let stage = Stage::set();
    let pool = Ours::start(&stage, WORKERS).pool;
    let ours = called(&stage, callers, move |_| {
        let pool = pool.clone();
        async move { started(pool.call(Work::Nothing, LIMIT).await) }
    });
    let factory = TheirFactory::start(&stage, FactoryKind::Queuer, WORKERS).factory;
    let peer = called(&stage, callers, move |key| {
        let factory = factory.clone();
        async move {
            let answer = started(factory.call_job(key, FactoryJob::call, Some(LIMIT)).await);
            started(answer.success_or("the job is lost"))
        }
    });
    contest.between(ours, [Peer::new("ractor's factory, call_job", 0.40, peer)])
}

/// Runs this many calls, divided among the callers, each of whom calls again once the answer is there.
fn called<F>(stage: &Stage, callers: u64, call: impl Fn(u64) -> F + Clone + Send + Sync + 'static) -> Batch<'static>
where
    F: Future<Output = u64> + Send + 'static,
{
    as_task(&stage.runtime, move |operations| divided(operations, callers, call.clone()))
}
