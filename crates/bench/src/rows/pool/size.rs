//! Growing a pool from 2 to 64 workers until all live, and shrinking it until the others are gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foundation::ractor::factory::{FactoryMessage, FactoryRef};
use foundation_pool::{JobContext, JobFailure, Pool, PoolSpec, Worker};
use tokio::sync::watch;

use super::engine::{Tally, Work};
use super::factory::{self, FactoryJob, FactoryKind};
use crate::contest::{BenchRow, Contest, Peer};
use crate::measured::Measured;
use crate::sample::Batch;
use crate::stage::{Stage, as_task, started};

const FEW: usize = 2;
const MANY: usize = 64;

pub(super) fn rows() -> Vec<BenchRow> {
    vec![
        BenchRow::new("pool_grow_2_to_64", 1, |contest| resized(contest, Direction::Up, 2.0)),
        BenchRow::new("pool_shrink_64_to_2", 1, |contest| resized(contest, Direction::Down, 2.2)),
    ]
}

/// What is measured; the way back is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// The number of workers that live.
#[derive(Debug, Clone)]
pub(crate) struct Lives(Arc<watch::Sender<usize>>);

/// A worker that lives as long as this.
#[derive(Debug)]
pub(crate) struct Life(Arc<watch::Sender<usize>>);

impl Lives {
    fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    pub(super) fn begin(&self) -> Life {
        self.0.send_modify(|lives| *lives += 1);
        Life(Arc::clone(&self.0))
    }

    async fn are(&self, wanted: usize) {
        drop(started(self.0.subscribe().wait_for(|lives| *lives == wanted).await));
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.0.send_modify(|lives| *lives -= 1);
    }
}

trait Resize: Clone + Send + Sync + 'static {
    fn resize(&self, workers: usize);
    fn lives(&self) -> &Lives;
}

struct Idler {
    _life: Life,
}

impl Worker for Idler {
    type Job = Work;
    type Output = ();

    async fn perform(&mut self, _: &mut Work, _: &JobContext<'_>) -> Result<(), JobFailure> {
        Ok(())
    }
}

#[derive(Clone)]
struct Ours(Pool<Work>, Lives);

impl Ours {
    fn start(stage: &Stage) -> Self {
        let lives = Lives::new();
        let of_workers = lives.clone();
        let spec = PoolSpec::new(move |_| {
            let life = of_workers.begin();
            async move { Ok(Idler { _life: life }) }
        });
        let spec = started(spec.workers(FEW));
        let pool = spec.handle();
        started(stage.runtime.block_on(stage.registry.supervise(spec.child("pool"))));
        Self(pool, lives)
    }
}

impl Resize for Ours {
    fn resize(&self, workers: usize) {
        started(self.0.resize(workers));
    }

    fn lives(&self) -> &Lives {
        &self.1
    }
}

#[derive(Clone)]
struct Theirs(FactoryRef<u64, FactoryJob>, Lives);

impl Theirs {
    fn start(stage: &Stage) -> Self {
        let lives = Lives::new();
        let starting = factory::start(FactoryKind::Queuer, FEW, Tally::default(), Some(lives.clone()));
        Self(stage.runtime.block_on(starting), lives)
    }
}

impl Resize for Theirs {
    fn resize(&self, workers: usize) {
        started(self.0.cast(FactoryMessage::AdjustWorkerPool(workers)));
    }

    fn lives(&self) -> &Lives {
        &self.1
    }
}

fn resized(contest: &mut Contest<'_>, measured: Direction, limit: f64) -> Vec<Measured> {
    let stage = Stage::set();
    let peer = Peer::new("ractor's factory", limit, rounds(&stage, Theirs::start(&stage), measured));
    contest.between(rounds(&stage, Ours::start(&stage), measured), [peer])
}

fn rounds(stage: &Stage, pool: impl Resize, measured: Direction) -> Batch<'static> {
    as_task(&stage.runtime, move |operations| {
        let pool = pool.clone();
        async move {
            let mut took = Duration::ZERO;
            for _ in 0..operations {
                for (direction, workers) in [(Direction::Up, MANY), (Direction::Down, FEW)] {
                    let begun = Instant::now();
                    pool.resize(workers);
                    pool.lives().are(workers).await;
                    took += if direction == measured { begun.elapsed() } else { Duration::ZERO };
                }
            }
            took
        }
    })
}
