//! The specification of a durable pool.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::names::{ServiceName, ServiceRegistry};
use foundation_kernel::supervision::{
    Backoff, BoxError, ChildId, ChildSpec, ExponentialBackoff, Restart, Strategy, SupervisorSpec, TaskStop,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::feeder::{Feeder, Poison};
use super::periodic::{Periodic, submit_each};
use super::pool::DurablePool;
use super::recorder::record;
use super::schedule::Schedule;
use super::shared::Shared;
use super::worker::DurableWorker;
use crate::error::SpecError;
use crate::{PoolSpec, Slot, Worker};

/// How often a job is begun at most.
const DEFAULT_TRIES: u32 = 5;

/// A durable queue: where its jobs are recorded, and how often they are tried.
///
/// | | default |
/// |---|---|
/// | [`tries`](Self::tries) | 5 |
/// | [`poison`](Self::poison) | [`Poison::Suspected`] |
#[derive(Debug, Clone)]
pub struct DurableQueue {
    names: ServiceRegistry,
    name: ServiceName,
    tries: u32,
    poison: Poison,
}

impl DurableQueue {
    /// A queue in the event store of a namespace. From now on, the events that it needs are held against pruning.
    pub fn new(names: &ServiceRegistry, name: ServiceName) -> Self {
        Self { names: names.clone(), name, tries: DEFAULT_TRIES, poison: Poison::default() }
    }

    /// How often a job is begun at most, over all processes; at least once. One that its process did not survive so often is
    /// not begun again. Whether a job that has failed is tried again is decided by the pool's [`Retry`](crate::Retry), which
    /// says how the two go together.
    pub fn tries(self, tries: u32) -> Self {
        Self { tries: tries.max(1), ..self }
    }

    /// When an attempt is recorded before it begins.
    pub fn poison(self, poison: Poison) -> Self {
        Self { poison, ..self }
    }
}

/// The specification of a durable pool: a queue, and the workers that perform its jobs.
///
/// ```
/// use foundation_events::{EventStorage, EventStore};
/// use foundation_kernel::names::{Namespace, ProcessRegistry, ServiceName};
/// use foundation_pool::durable::{DurableQueue, DurableSpec};
/// use foundation_pool::{JobContext, JobFailure, Worker};
///
/// struct Mailer;
///
/// impl Worker for Mailer {
///     type Job = String;
///     type Output = usize;
///
///     async fn perform(&mut self, mail: &mut String, _: &JobContext<'_>) -> Result<usize, JobFailure> {
///         Ok(mail.len())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let root = ProcessRegistry::builder().service(EventStore::service(EventStorage::memory())).start().await?;
/// # let services = root.namespace(Namespace::Production).await?;
/// let queue = DurableQueue::new(&services, ServiceName::from_static("mails")).tries(3);
/// let spec = DurableSpec::new(queue, |_slot| async { Ok(Mailer) }).pool(|pool| pool.workers(4))?;
/// let mails = spec.handle();
/// services.supervise(spec.child("mails")).await?;
///
/// assert_eq!(mails.call("hello".to_owned(), std::time::Duration::from_secs(5)).await?, 5);
/// # root.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub struct DurableSpec<W: Worker> {
    shared: Arc<Shared<W::Output>>,
    pool: PoolSpec<DurableWorker<W>>,
    poison: Poison,
    periodic: Vec<Periodic<W::Job>>,
}

impl<W: Worker> fmt::Debug for DurableSpec<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableSpec")
            .field("queue", &self.shared.queue)
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

impl<W> DurableSpec<W>
where
    W: Worker<Job: Serialize + DeserializeOwned>,
{
    /// A pool for the jobs of a queue, with the defaults of [`PoolSpec::new`]. `begin` makes a worker, anew for each life of
    /// it.
    pub fn new<F, Fut>(queue: DurableQueue, begin: F) -> Self
    where
        F: Fn(Slot) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<W, BoxError>> + Send + 'static,
    {
        let shared = Shared::new(&queue.names, queue.name, queue.tries);
        let of_workers = Arc::clone(&shared);
        let pool = PoolSpec::new(move |slot| {
            let (worker, shared) = (begin(slot), Arc::clone(&of_workers));
            async move { Ok(DurableWorker { worker: worker.await?, shared }) }
        });
        Self { shared, pool, poison: queue.poison, periodic: Vec::new() }
    }

    /// Sets what every pool has: its workers, its room, and so on. Jobs for which there is no room wait in the log,
    /// whatever the queue does when it is full, and those that a rate does not let pass, too. The
    /// [limit of an attempt](PoolSpec::limit) begins when a [strict](Poison::Strict) begin has been recorded.
    ///
    /// # Errors
    /// Those of the settings; [`SpecError::LosesJobs`] for a queue that drops jobs when it is full, and for a deadline.
    pub fn pool(
        self,
        set: impl FnOnce(PoolSpec<DurableWorker<W>>) -> Result<PoolSpec<DurableWorker<W>>, SpecError>,
    ) -> Result<Self, SpecError> {
        let pool = set(self.pool)?;
        if pool.loses_jobs() {
            return Err(SpecError::LosesJobs);
        }
        let (pool, limit) = pool.fed().without_limit();
        if limit.is_some() {
            self.shared.set_limit(limit);
        }
        Ok(Self { pool, ..self })
    }

    /// Has a job performed at each time of a schedule. The job of a time is recorded when the one before it is due, under the
    /// name and the time: once, however often the process is restarted. So of the times that pass while no process runs, the
    /// first is made up for, and the others are skipped.
    pub fn periodic(
        mut self,
        name: impl Into<String>,
        schedule: Schedule,
        job: impl Fn() -> W::Job + Send + Sync + 'static,
    ) -> Self {
        self.periodic.push(Periodic::new(name.into(), schedule, job));
        self
    }

    /// A handle on the pool.
    pub fn handle(&self) -> DurablePool<W::Job, W::Output> {
        DurablePool::new(Arc::clone(&self.shared))
    }

    /// The pool as a child of a supervisor.
    pub fn child(&self, id: impl Into<ChildId>) -> ChildSpec {
        // Stopped in reverse: what the workers have done at the end is recorded.
        let children = [self.recorder(), self.pool.child("pool"), self.feeder()];
        let periodic = self.periodic.iter().map(|periodic| self.submitter(periodic.clone()));
        let backoff = ExponentialBackoff::new(Duration::from_millis(100), 2.0, Duration::from_secs(10));
        let spec = SupervisorSpec::new(Strategy::OneForOne).backoff(backoff.map_or(Backoff::None, Backoff::from));
        ChildSpec::supervisor(id, spec.children(children).children(periodic))
    }

    fn recorder(&self) -> ChildSpec {
        let shared = Arc::clone(&self.shared);
        task("recorder", move |stop| {
            let shared = Arc::clone(&shared);
            async move {
                record(shared, stop).await;
                Ok(())
            }
        })
    }

    fn feeder(&self) -> ChildSpec {
        let (shared, pool) = (Arc::clone(&self.shared), Arc::clone(self.pool.shared()));
        let poison = self.poison;
        task("feeder", move |stop| {
            let (shared, pool) = (Arc::clone(&shared), Arc::clone(&pool));
            let feeder: Feeder<W::Job, W::Output> = Feeder { shared, pool, poison, scheduled: BTreeSet::new() };
            feeder.run(stop)
        })
    }

    fn submitter(&self, periodic: Periodic<W::Job>) -> ChildSpec {
        let pool = self.handle();
        let id = format!("periodic_{}", periodic.name());
        task(&id, move |stop| submit_each(periodic.clone(), pool.clone(), stop))
    }
}

fn task<F>(id: &str, work: impl Fn(TaskStop) -> F + Send + Sync + 'static) -> ChildSpec
where
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    ChildSpec::task(id, work).restart(Restart::Transient)
}
