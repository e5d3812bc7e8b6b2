//! The specification of a pool.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use foundation_kernel::supervision::{
    Backoff, BoxError, ChildId, ChildKind, ChildSpec, DynamicSupervisorSpec, ExponentialBackoff, Restart,
    RestartIntensity, Shutdown, StartContext, StartError, Started, Strategy, SupervisorSpec,
};
use futures::future::{FutureExt, join_all};

use crate::attachment::Attachment;
use crate::control::Control;
use crate::dead_letters::DeadLetters;
use crate::error::SpecError;
use crate::keeper::keep;
use crate::overflow::WhenFull;
use crate::pool::Pool;
use crate::queue::job_queue::JobQueue;
use crate::queue::rate::OverRate;
use crate::queue::rules::{JobRules, QueueSpec};
use crate::retry::Retry;
use crate::routing::{DEFAULT_WEIGHT, Router, Routing};
use crate::scaling::rules::Scaling;
use crate::scaling::scaler::{Scaler, WorkerSpec};
use crate::settings::{Rules, WorkerLimits};
use crate::shared::Shared;
use crate::stats::measurement::Measurement;
use crate::stats::stuck::Stuck;
use crate::watch::Events;
use crate::worker::batch_size::BatchSize;
use crate::worker::crew::Crew;
use crate::worker::run::{Begin, Workshop, begin as begin_worker, run};
use crate::worker::slot::Slot;
use crate::worker::worker::Worker;

const DEFAULT_DRAIN: Duration = Duration::from_secs(30);
const DEFAULT_WORKER_STOP: Duration = Duration::from_secs(5);
/// What the keeper needs beside the drain.
const KEEPER_GRACE: Duration = Duration::from_secs(5);

/// The specification of a pool: its workers, its queue, and the rules of its jobs.
///
/// | | default | set by |
/// |---|---|---|
/// | workers | 2 to twice the processors | [`workers`](Self::workers) |
/// | scaling | by demand, for 0.7 of the workers' time | [`scaling`](Self::scaling) |
/// | stuck workers | shown after 30 s; 2 spare ones for those that block | [`stuck`](Self::stuck) |
/// | measurement | sampled | [`measurement`](Self::measurement) |
/// | queue | room for 10,000 jobs; a cast is refused, a send waits | [`queue`](Self::queue) |
/// | routing | one queue for all workers | [`routing`](Self::routing), [`weights`](Self::weights) |
/// | jobs claimed at once | what takes 20 µs | [`batch_size`](Self::batch_size) |
/// | attempts | 1 | [`retry`](Self::retry) |
/// | deadline, limit of an attempt | none | [`deadline`](Self::deadline), [`limit`](Self::limit) |
/// | dead letters | counted and dropped | [`dead_letters`](Self::dead_letters) |
/// | restarts of workers | any number, after 10 ms × 2ⁿ up to 10 s | [`backoff`](Self::backoff), [`intensity`](Self::intensity) |
/// | stop | 30 s for the jobs, then 5 s for each worker | [`drain_within`](Self::drain_within), [`worker_shutdown`](Self::worker_shutdown) |
///
/// The queue belongs to the specification, as does [`Pool`], the handle on it: both are there before the pool is started,
/// and survive each restart. A clone describes the same pool; a specification that is changed describes another one.
pub struct PoolSpec<W: Worker> {
    begin: Arc<Begin<W>>,
    control: Rules,
    measurement: Measurement,
    queue: QueueSpec,
    routing: Routing,
    /// By the number of the slot.
    weights: Vec<u16>,
    rules: JobRules<W::Job>,
    batch_size: BatchSize,
    backoff: Backoff,
    intensity: RestartIntensity,
    drain_within: Duration,
    worker_stop: Duration,
    /// Made when it is first needed.
    shared: Arc<LazyShared<W>>,
}

/// What is shared by the clones of a specification.
type LazyShared<W> = OnceLock<Arc<Shared<<W as Worker>::Job, <W as Worker>::Output>>>;

impl<W: Worker> Clone for PoolSpec<W> {
    fn clone(&self) -> Self {
        Self {
            begin: Arc::clone(&self.begin),
            control: self.control.clone(),
            measurement: self.measurement,
            queue: self.queue.clone(),
            routing: self.routing,
            weights: self.weights.clone(),
            rules: self.rules.clone(),
            batch_size: self.batch_size,
            backoff: self.backoff,
            intensity: self.intensity,
            drain_within: self.drain_within,
            worker_stop: self.worker_stop,
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<W: Worker> fmt::Debug for PoolSpec<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolSpec")
            .field("workers", &self.control.workers)
            .field("queue", &self.queue)
            .field("retry", &self.rules.retry)
            .finish_non_exhaustive()
    }
}

impl<W: Worker> PoolSpec<W> {
    /// Workers that are made by `begin`, each life anew.
    ///
    /// Its error, a panic, or more than 30 s are a failed start. It is the same for the first worker and for each later one:
    /// the pool starts and goes on without it, its jobs wait, the start is repeated after the [backoff](Self::backoff) for as
    /// long as it fails and the [intensity](Self::intensity) allows, and each failure is a
    /// [`PoolEvent::WorkerFailedToStart`](crate::PoolEvent::WorkerFailedToStart). While jobs wait and no worker lives, the
    /// [health](crate::Pool::health) is degraded. The start of the pool waits for the first attempt of its first workers.
    pub fn new<F, Fut>(begin: F) -> Self
    where
        F: Fn(Slot) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<W, BoxError>> + Send + 'static,
    {
        let second = Duration::from_secs(1);
        let backoff = ExponentialBackoff::new(second / 100, 2.0, 10 * second).map_or(Backoff::None, Backoff::from);
        Self {
            begin: Arc::new(move |slot| begin(slot).boxed()),
            control: Rules::default(),
            measurement: Measurement::default(),
            queue: QueueSpec::default(),
            routing: Routing::default(),
            weights: Vec::new(),
            rules: JobRules::default(),
            batch_size: BatchSize::default(),
            backoff,
            intensity: RestartIntensity::UNLIMITED,
            drain_within: DEFAULT_DRAIN,
            worker_stop: DEFAULT_WORKER_STOP,
            shared: Arc::default(),
        }
    }

    /// Another pool, with a rule that is changed.
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self.shared = Arc::default();
        self
    }

    /// How many workers there are: a number, or the fewest and the most, as `2..=8`. The pool begins with the fewest.
    ///
    /// # Errors
    /// [`SpecError::Workers`] for none, for more than 4,096, and for limits the wrong way round.
    pub fn workers(self, workers: impl Into<WorkerLimits>) -> Result<Self, SpecError> {
        let workers = workers.into().check()?;
        Ok(self.with(|spec| spec.control.workers = workers))
    }

    /// When the pool grows and shrinks within these limits.
    pub fn scaling(self, scaling: Scaling) -> Self {
        self.with(|spec| spec.control.scaling = scaling)
    }

    /// When a worker counts as stuck, and what is done about it.
    pub fn stuck(self, stuck: Stuck) -> Self {
        self.with(|spec| spec.control.stuck = stuck)
    }

    /// How much is measured of the jobs.
    pub fn measurement(self, measurement: Measurement) -> Self {
        self.with(|spec| spec.measurement = measurement)
    }

    /// The room of the queue, and its order.
    pub fn queue(self, queue: QueueSpec) -> Self {
        self.with(|spec| spec.queue = queue)
    }

    /// How a job finds its worker. [`Pool::set_routing`] changes it while the pool runs.
    pub fn routing(self, routing: Routing) -> Self {
        self.with(|spec| spec.routing = routing)
    }

    /// The weights of the workers, in the order of their slots, for a routing that looks at them. Those of further workers
    /// are 100; 0 counts as 1.
    pub fn weights(self, weights: impl IntoIterator<Item = u16>) -> Self {
        // Slots are counted from 1.
        let weights = [DEFAULT_WEIGHT].into_iter().chain(weights).collect();
        self.with(|spec| spec.weights = weights)
    }

    /// How many jobs a worker claims at once; one under a [rate](QueueSpec::rate) for which jobs wait.
    pub fn batch_size(self, batch_size: BatchSize) -> Self {
        self.with(|spec| spec.batch_size = batch_size)
    }

    /// How often a job is tried.
    pub fn retry(self, retry: impl Into<Retry>) -> Self {
        self.with(|spec| spec.rules.retry = retry.into())
    }

    /// How long a job may wait for its first attempt; then it has expired. It goes to its owner at that time, to about a
    /// millisecond, wherever it waits. A [delay](crate::JobRequest::after) comes on top.
    pub fn deadline(self, deadline: Duration) -> Self {
        self.with(|spec| spec.rules.deadline = Some(deadline))
    }

    /// How long an attempt may take; then its future is dropped, and the attempt has failed. It cannot end a worker that
    /// blocks its thread.
    pub fn limit(self, limit: Duration) -> Self {
        self.with(|spec| spec.rules.limit = Some(limit))
    }

    /// Where jobs go that are not done and for which no caller waits.
    pub fn dead_letters(self, dead_letters: DeadLetters<W::Job>) -> Self {
        self.with(|spec| spec.rules.dead_letters = dead_letters)
    }

    /// The delay before the restart of a worker, and after a start that has failed.
    pub fn backoff(self, backoff: impl Into<Backoff>) -> Self {
        self.with(|spec| spec.backoff = backoff.into())
    }

    /// How many restarts of workers the pool takes, of all together: attempts to restart one that has ended abnormally, or has
    /// failed to start. One more ends the supervisor of the workers, which is restarted by the pool's; that one gives up in turn
    /// after 3 restarts within 5 s. All jobs stay in the queue, as long as a supervisor above can start the pool again.
    pub fn intensity(self, intensity: RestartIntensity) -> Self {
        self.with(|spec| spec.intensity = intensity)
    }

    /// How long the pool goes on with its jobs when it is stopped.
    pub fn drain_within(self, time: Duration) -> Self {
        self.with(|spec| spec.drain_within = time)
    }

    /// How long a worker may go on with its job when it is asked to stop; then it is killed, and the job comes back.
    pub fn worker_shutdown(self, time: Duration) -> Self {
        self.with(|spec| spec.worker_stop = time)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<W::Job, W::Output>> {
        self.shared.get_or_init(|| {
            let events = Arc::new(Events::new());
            let rules = JobRules { events: Arc::clone(&events), ..self.rules.clone() };
            let control = Arc::new(Control::new(self.control.clone(), self.weights.clone(), self.measurement, events));
            let router = Router::new(self.routing, self.weights.clone(), fastrand::u64(..));
            let queue = Arc::new(JobQueue::new(&self.queue, rules, router));
            Arc::new(Shared { queue, crew: Crew::new(self.worker_stop), attachments: AtomicUsize::new(0), control })
        })
    }

    /// Whether jobs may end that no worker has begun.
    pub(crate) fn loses_jobs(&self) -> bool {
        matches!(self.queue.when_full, WhenFull::DropOldest | WhenFull::DropNewest) || self.rules.deadline.is_some()
    }

    /// The same pool for jobs that wait elsewhere while there is no room, and until the rate lets them pass.
    pub(crate) fn fed(self) -> Self {
        self.with(|spec| {
            spec.queue.when_full = WhenFull::Wait;
            spec.queue.rate = spec.queue.rate.map(|rate| rate.over(OverRate::Wait));
        })
    }

    /// The same pool without a [limit](Self::limit), and the limit.
    pub(crate) fn without_limit(self) -> (Self, Option<Duration>) {
        let limit = self.rules.limit;
        (self.with(|spec| spec.rules.limit = None), limit)
    }

    /// A handle on the pool.
    pub fn handle(&self) -> Pool<W::Job, W::Output> {
        Pool::new(Arc::clone(self.shared()))
    }

    /// The pool as a child of a supervisor: a supervisor of its workers and of the task that keeps its time.
    ///
    /// When it is stopped, it takes no more jobs and goes on with those that it has; what is not done in time goes to the
    /// callers that wait, and to the dead letters. So do all jobs when no supervisor has this description any more, since the
    /// topmost one has given up, say: then nothing starts the pool again.
    pub fn child(&self, id: impl Into<ChildId>) -> ChildSpec {
        let spec = SupervisorSpec::new(Strategy::OneForOne).backoff(self.backoff);
        ChildSpec::supervisor(
            id,
            spec.child(self.workers_child()).child(self.scaler_child()).child(self.keeper_child()),
        )
    }

    fn keeper_child(&self) -> ChildSpec {
        let (shared, within) = (Arc::clone(self.shared()), self.drain_within);
        let limit = within.saturating_add(shared.crew.stop_time()).saturating_add(KEEPER_GRACE);
        let keep = move |stop| keep(Arc::clone(&shared), within, stop);
        ChildSpec::task("keeper", keep).restart(Restart::Permanent).shutdown(Shutdown::Timeout(limit))
    }

    fn scaler_child(&self) -> ChildSpec {
        let (shared, spec) = (Arc::clone(self.shared()), self.clone());
        let worker: Arc<WorkerSpec> = Arc::new(move |slot| spec.worker(slot));
        let scale = move |stop| Scaler::new(Arc::clone(&shared), Arc::clone(&worker)).run(stop);
        ChildSpec::task("scaler", scale).restart(Restart::Permanent)
    }

    fn workers_child(&self) -> ChildSpec {
        let (spec, attachment) = (self.clone(), Attachment::new(self.shared()));
        ChildSpec::from_fn("workers", ChildKind::Supervisor, move |context| {
            // Dropped with the description of the child.
            let _ = &attachment;
            let spec = spec.clone();
            async move { spec.start_workers(context).await }
        })
    }

    /// Starts the supervisor of the workers, with all of them.
    async fn start_workers(self, context: StartContext) -> Result<Started, StartError> {
        // Only when the pool itself has started: a drain lasts until then. And before there are workers, which end at a queue
        // that is closed; not later, when a drain of this life may have begun.
        if self.shared().crew.begin_below(context.supervisor().get_id()) {
            self.shared().open();
        }
        self.shared().control.slots.begin_life();
        let rules = DynamicSupervisorSpec::default().intensity(self.intensity).backoff(self.backoff);
        let (started, supervisor) = context.spawn_dynamic_supervisor(rules).await?;
        let least = *self.shared().control.settings.rules().workers.start();
        let slots = (1..=least).map(Slot::new);
        // Those that fail are started again by their supervisor.
        join_all(slots.map(|slot| supervisor.start_child(self.worker(slot)))).await;
        self.shared().crew.supervised_by(supervisor);
        Ok(started)
    }

    fn worker(&self, slot: Slot) -> ChildSpec {
        let (begin, batch_size) = (Arc::clone(&self.begin), self.batch_size);
        let (queue, control) = (Arc::clone(&self.shared().queue), Arc::clone(&self.shared().control));
        let workshop = Workshop { begin, queue, batch_size, control };
        let (of_begin, is_first) = (workshop.clone(), AtomicBool::new(true));
        let begin = move || begin_worker(of_begin.clone(), slot, is_first.swap(false, Ordering::Relaxed));
        let work = move |worker, stop| run(worker, workshop.clone(), slot, stop);
        // The time of a start is limited where it is noticed.
        ChildSpec::task_after(slot.to_string(), begin, work)
            .start_timeout(None)
            .restart(Restart::Transient)
            .shutdown(Shutdown::Timeout(self.worker_stop))
    }
}
