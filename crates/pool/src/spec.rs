//! The specification of a pool.

use std::fmt;
use std::sync::Arc;

use foundation_kernel::supervision::{BoxError, ChildId, ChildSpec, Restart, Strategy, SupervisorSpec};
use futures::future::{BoxFuture, FutureExt};

use crate::error::SpecError;
use crate::pool::Pool;
use crate::queue::job_queue::JobQueue;
use crate::worker::run::run;
use crate::worker::slot::Slot;
use crate::worker::worker::Worker;

/// The most workers; more are a mistake.
const MAX_WORKERS: usize = 1 << 12;
/// The room of a queue that is not told otherwise.
const DEFAULT_CAPACITY: usize = 10_000;

type Begin<W> = dyn Fn(Slot) -> BoxFuture<'static, Result<W, BoxError>> + Send + Sync;

/// The specification of a pool: its workers and its queue.
///
/// The queue belongs to the specification, as does [`Pool`], the handle on it: both are there before the pool is started,
/// and survive each restart. A clone describes the same pool.
pub struct PoolSpec<W: Worker> {
    begin: Arc<Begin<W>>,
    workers: usize,
    queue: Arc<JobQueue<W::Job, W::Output>>,
}

impl<W: Worker> Clone for PoolSpec<W> {
    fn clone(&self) -> Self {
        Self { begin: Arc::clone(&self.begin), workers: self.workers, queue: Arc::clone(&self.queue) }
    }
}

impl<W: Worker> fmt::Debug for PoolSpec<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolSpec").field("workers", &self.workers).finish_non_exhaustive()
    }
}

impl<W: Worker> PoolSpec<W> {
    /// Two workers, each made by `begin`, anew for each life; a queue with room for 10,000 jobs.
    pub fn new<F, Fut>(begin: F) -> Self
    where
        F: Fn(Slot) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<W, BoxError>> + Send + 'static,
    {
        let begin = Arc::new(move |slot| begin(slot).boxed());
        Self { begin, workers: 2, queue: Arc::new(JobQueue::new(DEFAULT_CAPACITY)) }
    }

    /// How many workers there are.
    ///
    /// # Errors
    /// [`SpecError::Workers`] for none, and for more than 4,096.
    pub fn workers(self, workers: usize) -> Result<Self, SpecError> {
        match workers {
            1..=MAX_WORKERS => Ok(Self { workers, ..self }),
            asked => Err(SpecError::Workers { asked, max: MAX_WORKERS }),
        }
    }

    /// For how many jobs the queue has room. A handle that was taken before stays with the queue before.
    ///
    /// # Errors
    /// [`SpecError::NoRoom`] for 0.
    pub fn capacity(self, jobs: usize) -> Result<Self, SpecError> {
        match jobs {
            0 => Err(SpecError::NoRoom),
            jobs => Ok(Self { queue: Arc::new(JobQueue::new(jobs)), ..self }),
        }
    }

    pub(crate) fn queue(&self) -> Arc<JobQueue<W::Job, W::Output>> {
        Arc::clone(&self.queue)
    }

    /// A handle on the pool.
    pub fn handle(&self) -> Pool<W::Job, W::Output> {
        Pool::new(Arc::clone(&self.queue))
    }

    /// The pool as a child of a supervisor: a supervisor of its workers.
    pub fn child(&self, id: impl Into<ChildId>) -> ChildSpec {
        let workers = (1..=self.workers).map(|number| self.worker(Slot::new(number)));
        ChildSpec::supervisor(id, SupervisorSpec::new(Strategy::OneForOne).children(workers))
    }

    fn worker(&self, slot: Slot) -> ChildSpec {
        let (begin, queue) = (Arc::clone(&self.begin), Arc::clone(&self.queue));
        let work = move |stop| {
            let (begin, queue) = (Arc::clone(&begin), Arc::clone(&queue));
            async move { run(begin(slot).await?, slot, queue, stop).await }
        };
        ChildSpec::task(slot.to_string(), work).restart(Restart::Transient)
    }
}
