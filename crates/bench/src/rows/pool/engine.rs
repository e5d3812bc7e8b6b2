//! What performs jobs: ours, and what each contestant has in common with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foundation_pool::{JobContext, JobFailure, Pool, PoolSpec, QueueSpec, SpecError, Worker};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::stage::{Stage, started};

/// The jobs that are put in before the next ones wait until all are done, so that no queue grows without bounds.
const WINDOW: u64 = 131_072;

/// What a job does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    Nothing,
    /// Keeps a processor busy.
    Spin(Duration),
    /// The same, and tells how long ago it was put in.
    Timed(Duration, Instant),
    Panic,
}

/// The jobs that are not done, and the times of those that tell them.
#[derive(Clone, Default)]
pub(crate) struct Tally(Arc<Counts>);

#[derive(Default)]
struct Counts {
    left: AtomicU64,
    all_done: Notify,
    times: Mutex<Vec<Duration>>,
}

impl Tally {
    pub(super) fn expect(&self, jobs: u64) {
        self.0.left.store(jobs, Ordering::Release);
    }

    /// Does a job.
    pub(super) fn perform(&self, work: Work) {
        match work {
            Work::Nothing => {}
            Work::Spin(time) => spin(time),
            Work::Timed(time, put) => {
                spin(time);
                self.0.times.lock().push(put.elapsed());
            }
            Work::Panic => panic!("a job of the benchmark panics"),
        }
        if self.0.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.all_done.notify_one();
        }
    }

    pub(super) async fn all_done(&self) {
        self.0.all_done.notified().await;
    }

    pub(super) fn take_times(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.0.times.lock())
    }
}

fn spin(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Something that performs jobs.
pub(super) trait Engine: Clone + Send + Sync + 'static {
    fn tally(&self) -> &Tally;

    /// Puts a job in; it waits only if there is no room.
    fn put(&self, number: u64, work: Work) -> impl Future<Output = ()> + Send;
}

/// Puts this many jobs in, one after the other, and waits until all are done.
pub(super) async fn performed(engine: impl Engine, operations: u64, work: Work) -> Duration {
    let begun = Instant::now();
    let mut left = operations;
    while left > 0 {
        let window = left.min(WINDOW);
        engine.tally().expect(window);
        for number in 0..window {
            engine.put(number, work).await;
        }
        engine.tally().all_done().await;
        left -= window;
    }
    begun.elapsed()
}

/// A worker of our pool.
pub(crate) struct Performer(Tally);

impl Worker for Performer {
    type Job = Work;
    type Output = u64;

    async fn perform(&mut self, work: &mut Work, _: &JobContext<'_>) -> Result<u64, JobFailure> {
        self.0.perform(*work);
        Ok(1)
    }
}

/// A pool of so many workers, with room for so many jobs, and with everything on that is by default.
pub(crate) fn pool_spec(tally: &Tally, workers: usize, room: usize) -> Result<PoolSpec<Performer>, SpecError> {
    let tally = tally.clone();
    let spec = PoolSpec::new(move |_| {
        let tally = tally.clone();
        async move { Ok(Performer(tally)) }
    });
    Ok(spec.workers(workers)?.queue(QueueSpec::bounded(room)?))
}

/// Our pool.
#[derive(Clone)]
pub(super) struct Ours {
    pub(super) pool: Pool<Work, u64>,
    tally: Tally,
    /// The number of keys by which the jobs are ordered.
    keys: Option<Arc<[String]>>,
}

impl Ours {
    pub(super) fn start(stage: &Stage, workers: usize) -> Self {
        let tally = Tally::default();
        let spec = started(pool_spec(&tally, workers, 2 * WINDOW as usize));
        let pool = spec.handle();
        started(stage.runtime.block_on(stage.registry.supervise(spec.child(format!("pool-{workers}")))));
        Self { pool, tally, keys: None }
    }

    pub(super) fn keyed(self, keys: u64) -> Self {
        Self { keys: Some((0..keys).map(|key| key.to_string()).collect()), ..self }
    }
}

impl Engine for Ours {
    fn tally(&self) -> &Tally {
        &self.tally
    }

    async fn put(&self, number: u64, work: Work) {
        match &self.keys {
            None => drop(started(self.pool.cast(work))),
            Some(keys) => drop(started(self.pool.job(work).key(&keys[number as usize % keys.len()]).cast())),
        }
    }
}
