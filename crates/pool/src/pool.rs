//! The handle on a pool.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::supervision::{Health, StreamOptions, StreamOrder};
use futures::{Stream, StreamExt, stream};

use crate::drain::{Drained, drain, stop_now};
use crate::error::{JobError, PoolError, SpecError};
use crate::job::id::JobId;
use crate::job::request::JobRequest;
use crate::observer::{Observer, PoolObserver};
use crate::routing::Routing;
use crate::scaling::rules::Scaling;
use crate::settings::WorkerLimits;
use crate::shared::Shared;
use crate::stats::pool_stats::PoolStats;
use crate::stats::worker_stats::WorkerStats;
use crate::watch::PoolWatch;

/// A handle on a pool: puts jobs in, and receives what comes of them.
///
/// It is for the specification, not for one life of the pool: a job that is put in while the pool restarts waits until it
/// runs. A clone is an atomic increment.
pub struct Pool<J, T = ()> {
    shared: Arc<Shared<J, T>>,
}

impl<J, T> Clone for Pool<J, T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<J, T> fmt::Debug for Pool<J, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("queued", &self.queued()).finish_non_exhaustive()
    }
}

impl<J, T> Pool<J, T> {
    pub(crate) fn new(shared: Arc<Shared<J, T>>) -> Self {
        Self { shared }
    }

    /// A job with a priority, a key, a deadline, a delay, or an idempotency key.
    pub fn job(&self, job: J) -> JobRequest<'_, J, T> {
        JobRequest::new(&self.shared.queue, job)
    }

    /// Puts a job in, and never waits. If it is not done, it goes to the dead letters.
    ///
    /// # Errors
    /// [`PoolError::Full`], [`PoolError::Draining`], [`PoolError::NotRunning`], each with the job.
    pub fn cast(&self, job: J) -> Result<JobId, PoolError<J>> {
        self.job(job).cast()
    }

    /// Puts a job in, as soon as there is room for it. If it is not done, it goes to the dead letters.
    ///
    /// Callers get room in the order in which they came. Dropped before it returns, it has put nothing in; the job is
    /// dropped with it. Under a rule [other than to wait](crate::WhenFull) it does not wait.
    ///
    /// # Errors
    /// [`PoolError::Draining`], [`PoolError::NotRunning`], each with the job.
    pub async fn send(&self, job: J) -> Result<JobId, PoolError<J>> {
        self.job(job).send().await
    }

    /// Puts a job in, as soon as there is room for it, and waits for its output, for as long as this.
    ///
    /// A job that was put in is performed even if the caller stops waiting.
    ///
    /// # Errors
    /// [`JobError::NotAccepted`] as [`send`](Self::send), and with [`PoolError::Full`] when the limit is over before there is
    /// room; [`JobError::TimedOut`] when it is over before the job is done; otherwise what became of the job.
    pub async fn call(&self, job: J, limit: Duration) -> Result<T, JobError<J>> {
        self.job(job).call(limit).await
    }

    /// Performs the jobs of a stream and yields what comes of them, with the options of a
    /// [`TaskStream`](foundation_kernel::supervision::TaskStream).
    ///
    /// | option | here |
    /// |---|---|
    /// | `max_concurrency` | how many jobs are put in at a time, those included whose outcomes have not been taken |
    /// | `order` | the outcomes come in the order of the stream, or as the jobs are done |
    /// | `timeout` | how long each may take, the wait for room and for a worker included: [`JobError::TimedOut`] |
    /// | `on_timeout` | whether that is the last outcome |
    /// | `nolink` | whether the stream goes on after another job that is not done |
    /// | `shutdown` | of no effect: jobs that were put in are left to the pool |
    ///
    /// The stream is pulled only as fast as the pool performs, and as the outcomes are read. Dropped early, or ended by a
    /// failure, it leaves the jobs that were put in to the pool. A pool that takes no more jobs ends it in any case.
    ///
    /// ```
    /// use std::time::Duration;
    /// use foundation_kernel::supervision::StreamOptions;
    /// use futures::{StreamExt, stream};
    /// # use foundation_pool::{JobError, Pool};
    /// # async fn read(readers: Pool<String, u64>) -> Result<u64, JobError<String>> {
    /// let texts = stream::iter(["1".to_owned(), "2".to_owned()]);
    /// let mut numbers = Box::pin(readers.each(texts, StreamOptions::default().timeout(Duration::from_secs(10))));
    /// let mut sum = 0;
    /// while let Some(number) = numbers.next().await {
    ///     sum += number?;
    /// }
    /// # Ok(sum)
    /// # }
    /// ```
    pub fn each<S>(&self, jobs: S, options: StreamOptions) -> impl Stream<Item = Result<T, JobError<J>>> + use<S, J, T>
    where
        S: Stream<Item = J>,
    {
        let pool = self.clone();
        let (at_once, limit) = (options.concurrency().get(), options.limit().unwrap_or(Duration::MAX));
        let call = move |job| {
            let pool = pool.clone();
            async move { pool.call(job, limit).await }
        };
        let calls = jobs.map(call);
        let outcomes = match options.result_order() {
            StreamOrder::Inputs => calls.buffered(at_once).left_stream(),
            StreamOrder::Completion => calls.buffer_unordered(at_once).right_stream(),
        };
        stream::unfold(Some(Box::pin(outcomes)), move |outcomes| {
            let options = options.clone();
            async move {
                let mut outcomes = outcomes?;
                let outcome = outcomes.next().await?;
                let goes_on = outcome.as_ref().err().is_none_or(|error| !ends_with(&options, error));
                Some((outcome, goes_on.then_some(outcomes)))
            }
        })
    }

    /// How many jobs wait for a worker or for another one of their key; as [`PoolStats::queued`].
    pub fn queued(&self) -> usize {
        self.shared.queue.counts().0
    }

    /// Gives the pool another fewest and another most number of workers, as [`PoolSpec::workers`](crate::PoolSpec::workers) does.
    ///
    /// It applies at once, and to the next life of the pool, too: workers are started, or end after their current job.
    ///
    /// # Errors
    /// [`SpecError::Workers`] for none, for too many, and for limits the wrong way round.
    pub fn resize(&self, workers: impl Into<WorkerLimits>) -> Result<(), SpecError> {
        let workers = workers.into().check()?;
        self.shared.control.change(|rules| rules.workers = workers);
        Ok(())
    }

    /// Gives the pool other rules of scaling, at once.
    pub fn set_scaling(&self, scaling: Scaling) {
        self.shared.control.change(|rules| rules.scaling = scaling);
    }

    /// Routes the jobs from now on like this, also in the next life of the pool. Those in inboxes go to the shared queue, in
    /// the order in which they were accepted: linear in the jobs that wait.
    pub fn set_routing(&self, routing: Routing) {
        self.shared.queue.set_routing(routing);
    }

    /// How a job finds its worker now.
    pub fn routing(&self) -> Routing {
        self.shared.queue.routing()
    }

    /// What the pool does, and what it has done so far. No actor is asked: it takes a lock of the queue for a moment and reads
    /// the cells of the workers.
    pub fn stats(&self) -> PoolStats {
        self.shared.stats()
    }

    /// What each worker does, in the order of their slots. No actor is asked.
    pub fn workers(&self) -> Vec<WorkerStats> {
        self.shared.control.workers(&self.shared.queue.inboxes())
    }

    /// Follows what happens to the pool from now on.
    pub fn watch(&self) -> PoolWatch {
        self.shared.control.events.watch()
    }

    /// Notifies this observer of what happens from now on. A pool has one: the first one stays; false if there is one.
    pub fn observe(&self, observer: Arc<dyn PoolObserver>) -> bool {
        self.shared.control.observe(Observer::new(observer))
    }

    /// The health of the pool: degraded while workers are stuck, or while jobs wait and no worker lives.
    pub fn health(&self) -> Health {
        self.stats().health()
    }

    /// Lets the workers begin no more jobs; those that they have begun go on. Jobs are taken all the same.
    pub fn pause(&self) {
        self.shared.queue.set_paused(true);
    }

    /// Lets the workers begin jobs again.
    pub fn resume(&self) {
        self.shared.queue.set_paused(false);
    }

    /// Whether it is [paused](Self::pause).
    pub fn is_paused(&self) -> bool {
        self.shared.queue.is_paused()
    }

    /// Takes no more jobs, waits until all are done, for at most this long, then asks the workers to stop, kills those that
    /// do not stop in time, and gives back what is not done.
    ///
    /// The pool takes jobs again when it is started again; a drain does not outlast that. Dropped while jobs are done, it leaves
    /// the pool draining; dropped while the workers end, it gives the rest to its owners. With a time of zero it stops at once.
    pub async fn drain(&self, within: Duration) -> Drained<J> {
        drain(&self.shared.queue, &self.shared.crew, within).await
    }

    /// Takes no more jobs, takes those back that workers have, whatever their [time to stop](crate::PoolSpec::worker_shutdown),
    /// and gives back all that is not done. The future of a job is dropped where it waits; a worker that blocks its thread
    /// keeps its job, which is [abandoned](Drained::abandoned) after 1 s.
    ///
    /// The pool takes jobs again when it is started again. Dropped early, it gives the rest to its owners.
    pub async fn stop_now(&self) -> Drained<J> {
        let shared = &*self.shared;
        stop_now(&shared.queue, &shared.crew, &shared.control.slots).await
    }
}

/// Whether the outcomes of a stream end with this one.
fn ends_with<J>(options: &StreamOptions, error: &JobError<J>) -> bool {
    match error {
        JobError::NotAccepted(PoolError::Draining { .. } | PoolError::NotRunning { .. }) => true,
        JobError::TimedOut { .. } => options.ends_on_timeout(),
        _ => options.ends_on_failure(),
    }
}
