//! The handle on a pool.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::containment::waking_contained;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::drain::{Drained, Unfinished};
use crate::error::{JobError, PoolError};
use crate::job::id::JobId;
use crate::job::record::{JobRecord, Reply};
use crate::queue::job_queue::JobQueue;

/// A handle on a pool: puts jobs in, and receives what comes of them.
///
/// It is for the specification, not for one life of the pool: a job that is put in while the pool restarts waits until it
/// runs. A clone is an atomic increment.
pub struct Pool<J, T = ()> {
    queue: Arc<JobQueue<J, T>>,
}

impl<J, T> Clone for Pool<J, T> {
    fn clone(&self) -> Self {
        Self { queue: Arc::clone(&self.queue) }
    }
}

impl<J, T> fmt::Debug for Pool<J, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("queued", &self.queue.queued()).finish_non_exhaustive()
    }
}

impl<J, T> Pool<J, T> {
    pub(crate) fn new(queue: Arc<JobQueue<J, T>>) -> Self {
        Self { queue }
    }

    /// Puts a job in, and never waits. Its outcome is dropped.
    ///
    /// # Errors
    /// [`PoolError::Full`], [`PoolError::Draining`], [`PoolError::NotRunning`], each with the job.
    pub fn cast(&self, job: J) -> Result<JobId, PoolError<J>> {
        self.queue.put(job, None)
    }

    /// Puts a job in, as soon as there is room for it. Its outcome is dropped.
    ///
    /// Callers get room in the order in which they came. Dropped before it returns, it has put nothing in; the job is
    /// dropped with it.
    ///
    /// # Errors
    /// [`PoolError::Draining`], [`PoolError::NotRunning`], each with the job.
    pub async fn send(&self, job: J) -> Result<JobId, PoolError<J>> {
        self.queue.put_when_room(job, None).await
    }

    /// Puts a job in, as [`cast`](Self::cast) does, and waits for its output, for as long as this.
    ///
    /// The job is performed even if the caller stops waiting.
    ///
    /// # Errors
    /// [`JobError::NotAccepted`] with the error of a cast; [`JobError::TimedOut`]; otherwise what became of the job.
    pub async fn call(&self, job: J, limit: Duration) -> Result<T, JobError<J>> {
        let (reply, outcome) = oneshot::channel();
        let begun = Instant::now();
        let id = self.queue.put(job, Some(Reply::Caller(reply)))?;
        let left = limit.saturating_sub(begun.elapsed());
        match timeout(left, waking_contained(outcome)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(JobError::Gone),
            Err(_) => Err(JobError::TimedOut { id, limit }),
        }
    }

    /// How many jobs wait for a worker.
    pub fn queued(&self) -> usize {
        self.queue.queued()
    }

    /// Takes no more jobs, waits until all are done, for at most this long, and then gives back those that no worker has.
    ///
    /// A pool that was drained takes jobs again when it is [reopened](Self::reopen). Dropped early, it leaves the pool draining.
    pub async fn drain(&self, within: Duration) -> Drained<J> {
        let begun = Instant::now();
        self.queue.drain();
        let _ = timeout(within, waking_contained(self.queue.drained())).await;
        let waiting = self.queue.close();
        let returned = waiting.into_iter().filter_map(give_back).collect();
        Drained { returned, under_way: self.queue.claimed(), took: begun.elapsed() }
    }

    /// Takes jobs again, after a drain.
    pub fn reopen(&self) {
        self.queue.open();
    }
}

/// Gives a job to the caller that waits for it, or hands it out.
fn give_back<J, T>(record: JobRecord<J, T>) -> Option<Unfinished<J>> {
    if record.reply.is_some() {
        record.failed(|_, job| JobError::Returned { job });
        return None;
    }
    let JobRecord { id, attempts, job, .. } = record;
    Some(Unfinished { id, attempts, job })
}
