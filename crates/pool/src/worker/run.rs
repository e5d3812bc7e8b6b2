//! The loop of a worker: claim, perform, answer, give back.
//!
//! A panic costs the worker its value, which is made anew in place: a job that panics must not use up the restarts of the
//! pool. Three panics in a row are an end of the worker, and so is a worker that cannot be made anew.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::containment::{CaughtPanic, catch_panic, drop_contained, error_text, report};
use foundation_kernel::supervision::{BoxError, TaskStop};
use futures::future::{BoxFuture, FutureExt};
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout};

use super::batch_size::{BatchMeter, BatchSize};
use super::perform::{Attempt, Terms, perform, perform_batch};
use super::slot::Slot;
use super::slots::{RETIRE, SlotState};
use super::worker::Worker;
use crate::control::Control;
use crate::event::PoolEvent;
use crate::job::batch::{BatchJob, BatchSource};
use crate::job::record::Ending;
use crate::queue::claim::Claim;
use crate::queue::job_queue::JobQueue;
use crate::retry::RetryAdvice;
use crate::stats::poll_meter::poll_metered;
use crate::stats::worker_cells::Life;

/// How many panics in a row end a worker.
const MAX_PANICS: u32 = 3;
/// How many nanoseconds may pass until a worker with many jobs looks whether it is to stop.
const LOOKS_EVERY: u64 = 10_000;
/// How long it may take to make a worker.
const MAKE_WITHIN: Duration = Duration::from_secs(30);

/// Makes a worker.
pub(crate) type Begin<W> = dyn Fn(Slot) -> BoxFuture<'static, Result<W, BoxError>> + Send + Sync;

/// What all workers of a pool have in common.
pub(crate) struct Workshop<W: Worker> {
    pub(crate) begin: Arc<Begin<W>>,
    pub(crate) queue: Arc<JobQueue<W::Job, W::Output>>,
    pub(crate) batch_size: BatchSize,
    pub(crate) control: Arc<Control>,
}

impl<W: Worker> Clone for Workshop<W> {
    fn clone(&self) -> Self {
        Self {
            begin: Arc::clone(&self.begin),
            queue: Arc::clone(&self.queue),
            batch_size: self.batch_size,
            control: Arc::clone(&self.control),
        }
    }
}

/// Why a worker ends abnormally.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkerError {
    #[error("the worker panicked in {MAX_PANICS} jobs in a row, at last with: {0}")]
    Panics(String),
    #[error("the worker says that it can do no more: {0}")]
    Broken(String),
    #[error("the worker panicked, and could not be made anew: {0}")]
    NotMadeAnew(BoxError),
    #[error("the worker could not be made: {0}")]
    NotMade(BoxError),
}

/// How the start of a worker has ended.
pub(crate) enum Begun<W> {
    Made(W, Life),
    /// The first start has failed. It counts as an abnormal end, so that the supervisor keeps the child, counts the failure, and
    /// starts it again after its backoff.
    Failed(BoxError),
    /// It was asked to end before it was made.
    NotWanted,
}

/// What comes after a batch.
enum Next {
    Claim,
    MakeAnew,
    Stop,
}

/// A worker at work.
struct Running<'a, W: Worker> {
    workshop: &'a Workshop<W>,
    slot: Slot,
    state: Arc<SlotState>,
    life: &'a Life,
    stop: &'a TaskStop,
    /// Dropped before the worker, whose destructor may take its time: the jobs are back first.
    claim: Claim<W::Job, W::Output>,
    /// `None` while it is made anew.
    worker: Option<W>,
    panics: u32,
}

/// Runs a worker until it is asked to stop or the queue is closed. Unfinished jobs are back in the queue before it ends.
///
/// # Errors
/// [`WorkerError`]: the worker is started again by its supervisor.
pub(crate) async fn run<W: Worker>(
    begun: Begun<W>,
    workshop: Workshop<W>,
    slot: Slot,
    stop: TaskStop,
) -> Result<(), WorkerError> {
    let (worker, life) = match begun {
        Begun::Made(worker, life) => (worker, life),
        Begun::Failed(error) => return Err(WorkerError::NotMade(error)),
        Begun::NotWanted => return Ok(()),
    };
    let cells = Arc::clone(life.cells());
    poll_metered(&cells, run_measured((worker, life), workshop, slot, stop)).await
}

async fn run_measured<W: Worker>(
    (worker, life): (W, Life),
    workshop: Workshop<W>,
    slot: Slot,
    stop: TaskStop,
) -> Result<(), WorkerError> {
    life.run();
    let claim = Claim::new(Arc::clone(&workshop.queue), slot.number());
    let state = workshop.control.slots.slot(slot);
    let (workshop, stop, worker) = (&workshop, &stop, Some(worker));
    let mut running = Running { workshop, slot, state, life: &life, stop, claim, worker, panics: 0 };
    let outcome = running.until_stopped().await;
    life.stop();
    let Running { worker, claim, .. } = running;
    drop(claim);
    match (&outcome, worker) {
        (Ok(()), Some(worker)) => end(worker).await,
        (_, worker) => drop_contained("a worker", worker),
    }
    outcome
}

/// Lets a worker end in order.
async fn end<W: Worker>(worker: W) {
    if let Err(payload) = AssertUnwindSafe(async { worker.stop().await }).catch_unwind().await {
        let panic = CaughtPanic::of(payload);
        report(|| tracing::warn!(%panic, "the stop of a worker panicked"));
    }
}

impl<W: Worker> Running<'_, W> {
    async fn until_stopped(&mut self) -> Result<(), WorkerError> {
        let state = Arc::clone(&self.state);
        let (mut asked, mut retired) = (pin!(self.stop.requested()), pin!(state.retire.given(RETIRE)));
        let mut meter = BatchMeter::new(self.workshop.batch_size);
        loop {
            // The claim first: mostly there are jobs, and the requests are looked at without their wakers.
            let more = tokio::select! {
                biased;
                more = self.claim.renew(meter.next()) => more && !self.is_to_stop(),
                () = &mut asked => false,
                () = &mut retired => false,
            };
            if !more {
                return Ok(());
            }
            let begun = self.state.cells.recent();
            let (jobs, next) = self.batch(begun).await?;
            meter.note(jobs, self.state.cells.recent().saturating_duration_since(begun));
            match next {
                // A batch that never waits has not used any of its task's budget.
                Next::Claim => consume_budget().await,
                Next::MakeAnew if self.make_anew().await? => {}
                Next::MakeAnew | Next::Stop => return Ok(()),
            }
        }
    }

    /// Performs the jobs of the claim; returns how many.
    async fn batch(&mut self, now: Instant) -> Result<(usize, Next), WorkerError> {
        let (mut jobs, next) = self.at_once(now).await?;
        if let Some(next) = next {
            return Ok((jobs, next));
        }
        let limit = self.workshop.queue.rules().limit;
        let mut looked = 0;
        while let Some(worker) = &mut self.worker
            && let Some(record) = self.claim.begin()
        {
            jobs += 1;
            let slot = &*self.state;
            let cells = &slot.cells;
            if jobs == 1 && record.attempts == 1 {
                let waited = now.saturating_duration_since(record.accepted);
                self.workshop.control.histograms().wait_ns.record(waited.as_nanos() as f64);
            }
            // A request about an earlier attempt, which came too late.
            slot.abandon.take_back();
            cells.begin(record.id.number(), record.attempts);
            let attempt = perform(worker, record, Terms { limit, slot, stop: self.stop }).await;
            if let Some(took) = cells.end(!matches!(attempt, Attempt::Done(_))) {
                self.workshop.control.histograms().job_ns.record(took.as_nanos() as f64);
            }
            if let Some(next) = self.settle(attempt)? {
                return Ok((jobs, next));
            }
            consume_budget().await;
            // The look takes a lock: it is not worth that after each of many short jobs.
            let read = self.state.cells.read_last();
            if read == 0 || read.saturating_sub(looked) >= LOOKS_EVERY {
                looked = read;
                if self.is_to_stop() {
                    return Ok((jobs, Next::Stop));
                }
            }
        }
        Ok((jobs, Next::Claim))
    }

    fn is_to_stop(&self) -> bool {
        self.stop.is_requested() || self.state.retire.about().is_some()
    }

    /// Lets the worker perform the jobs of the claim at once, if it does; returns how many it has, and what comes next if that
    /// is not the rest of the claim.
    async fn at_once(&mut self, now: Instant) -> Result<(usize, Option<Next>), WorkerError> {
        let Some(worker) = self.worker.as_mut().filter(|_| self.claim.batch_len() > 1) else { return Ok((0, None)) };
        let (slot, limit) = (&*self.state, self.workshop.queue.rules().limit);
        slot.abandon.take_back();
        let mut jobs = Jobs { claim: &mut self.claim, slot, control: &self.workshop.control, now };
        let end = perform_batch(worker, &mut jobs, Terms { limit, slot, stop: self.stop }).await;
        if matches!(end, Attempt::Panicked(_) | Attempt::Abandoned) {
            // One that ends the worker before it has begun any may be the fault of a job: they are performed by themselves
            // the next time.
            self.claim.begin_batch();
        }
        let (begun, ended, failed) = self.claim.batch_outcomes();
        self.claim.time_batch(begun, matches!(end, Attempt::Done(())) && failed == 0);
        let (performed, failed) =
            if let Attempt::Done(()) = end { (ended, failed) } else { (begun, failed + begun - ended) };
        if begun > 0
            && let Some(took) = slot.cells.end_batch(performed as u64, failed as u64)
        {
            self.workshop.control.histograms().job_ns.record(took.as_nanos() as f64);
        }
        self.settle_batch(end).map(|next| (performed, next))
    }

    /// Takes the jobs that were begun at once on their ways.
    fn settle_batch(&mut self, end: Attempt<()>) -> Result<Option<Next>, WorkerError> {
        let mut broken = None;
        while let Some(outcome) = self.claim.next_of_batch() {
            match (outcome, &end) {
                (Some(outcome), _) => broken = self.settle(outcome.into()).err().or(broken),
                (None, Attempt::Done(())) => self.claim.go_on_alone(),
                (None, Attempt::OutOfTime(limit)) => {
                    self.claim.failed(Ending::OutOfTime(*limit), RetryAdvice::Default);
                }
                (None, _) => self.claim.interrupted(),
            }
        }
        match (broken, end) {
            (Some(broken), _) => Err(broken),
            (None, Attempt::Panicked(panic)) => self.panicked(panic).map(Some),
            (None, Attempt::Abandoned) => Ok(Some(Next::MakeAnew)),
            (None, _) if self.is_to_stop() => Ok(Some(Next::Stop)),
            (None, _) => Ok(None),
        }
    }

    /// Takes the job on its way; returns what comes next, if that is not the next job.
    fn settle(&mut self, attempt: Attempt<W::Output>) -> Result<Option<Next>, WorkerError> {
        match attempt {
            Attempt::Done(output) => self.claim.done(output),
            Attempt::OutOfTime(limit) => self.claim.failed(Ending::OutOfTime(limit), RetryAdvice::Default),
            Attempt::Failed(failure) => {
                let broken = failure.is_worker_broken().then(|| failure.error().to_string());
                let (error, advice) = failure.into_parts();
                self.claim.failed(Ending::Failed(error), advice);
                if let Some(text) = broken {
                    return Err(WorkerError::Broken(text));
                }
            }
            Attempt::Abandoned => {
                self.state.abandon.take_back();
                self.claim.interrupted();
                return Ok(Some(Next::MakeAnew));
            }
            Attempt::Panicked(panic) => return self.panicked(panic).map(Some),
        }
        self.panics = 0;
        Ok(None)
    }

    fn panicked(&mut self, panic: CaughtPanic) -> Result<Next, WorkerError> {
        let slot = self.slot;
        report(|| tracing::warn!(%slot, %panic, "a worker panicked in a job, and is made anew"));
        self.panics += 1;
        let text = panic.into_text();
        self.claim.failed(Ending::Panicked(text.clone()), RetryAdvice::Default);
        if self.panics >= MAX_PANICS { Err(WorkerError::Panics(text)) } else { Ok(Next::MakeAnew) }
    }

    /// Makes the worker anew; false if it is to end instead.
    async fn make_anew(&mut self) -> Result<bool, WorkerError> {
        // Others can perform them meanwhile.
        self.claim.give_back();
        drop_contained("a worker", self.worker.take());
        self.life.start();
        let begun = tokio::select! {
            biased;
            () = self.stop.requested() => return Ok(false),
            () = self.state.retire.given(RETIRE) => return Ok(false),
            begun = make(self.workshop, self.slot) => begun,
        };
        self.worker = Some(begun.map_err(WorkerError::NotMadeAnew)?);
        self.life.run();
        Ok(true)
    }
}

/// Makes a worker for a new life of its slot, at each start of it.
///
/// # Errors
/// That of the user, but for the first start: the start has failed.
pub(crate) async fn begin<W: Worker>(workshop: Workshop<W>, slot: Slot, is_first: bool) -> Result<Begun<W>, BoxError> {
    let state = workshop.control.slots.slot(slot);
    // One that cannot be made would be started again for ever.
    if state.retire.about().is_some() {
        return Ok(Begun::NotWanted);
    }
    let life = state.cells.live();
    match make(&workshop, slot).await {
        Ok(worker) => {
            workshop.control.events.emit(PoolEvent::WorkerStarted { slot });
            Ok(Begun::Made(worker, life))
        }
        Err(error) if is_first => Ok(Begun::Failed(error)),
        Err(error) => Err(error),
    }
}

/// The jobs of a claim that may be begun at once.
struct Jobs<'a, J, T> {
    claim: &'a mut Claim<J, T>,
    slot: &'a SlotState,
    control: &'a Control,
    now: Instant,
}

impl<J, T> BatchSource<J, T> for Jobs<'_, J, T> {
    fn len(&self) -> usize {
        self.claim.batch_len()
    }

    fn begin(&mut self) -> &mut [BatchJob<J, T>] {
        let jobs = self.claim.begin_batch();
        if let Some(BatchJob { record, .. }) = jobs.first().filter(|_| self.slot.cells.job() == 0) {
            let waited = self.now.saturating_duration_since(record.accepted);
            self.control.histograms().wait_ns.record(waited.as_nanos() as f64);
            self.slot.cells.begin(record.id.number(), record.attempts);
        }
        jobs
    }

    fn progress(&self) {
        self.slot.cells.progress();
    }
}

/// Makes a worker, and notifies of a failure.
async fn make<W: Worker>(workshop: &Workshop<W>, slot: Slot) -> Result<W, BoxError> {
    make_contained(workshop, slot).await.inspect_err(|error| {
        workshop.control.events.emit(PoolEvent::WorkerFailedToStart { slot, error: error_text(&**error) });
    })
}

/// No panic leaves it, and none of the destructors of the user's future.
async fn make_contained<W: Worker>(workshop: &Workshop<W>, slot: Slot) -> Result<W, BoxError> {
    let beginning = catch_panic(|| (workshop.begin)(slot))?;
    let mut beginning = Contained(Some(beginning));
    let Some(polled) = &mut beginning.0 else { return Err("it was dropped".into()) };
    match timeout(MAKE_WITHIN, AssertUnwindSafe(polled).catch_unwind()).await {
        Ok(begun) => begun.unwrap_or_else(|payload| Err(CaughtPanic::of(payload).into())),
        Err(_) => Err(format!("it was not made within {MAKE_WITHIN:?}").into()),
    }
}

/// A future of the user that may be dropped early.
struct Contained<F>(Option<F>);

impl<F> Drop for Contained<F> {
    fn drop(&mut self) {
        drop_contained("the future that makes a worker", self.0.take());
    }
}

impl<W: Worker> fmt::Debug for Workshop<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workshop").field("batch_size", &self.batch_size).finish_non_exhaustive()
    }
}
