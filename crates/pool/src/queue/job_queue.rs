//! The queue of a pool, under one lock.
//!
//! 1. An accepted job is in exactly one place: it waits in a lane or an inbox, waits for a time, is in a claim, or has gone
//!    to its owner.
//! 2. A worker is among the sleepers exactly while it sleeps and has not been picked.
//! 3. A job that is put in picks at most one sleeper. A picked sleeper that goes away without looking picks another.
//! 4. A claim that is dropped puts its jobs back in order, at the front; one that was begun counts as an attempt. The jobs
//!    of its worker's inbox are for the others then.
//! 5. A sender that was picked has a place reserved until it looks or goes away; no other job gets that place.
//! 6. Accepted jobs are those that wait, those in claims, and those that have gone to their owners.
//!
//! Under the lock no code of users runs: jobs, replies and wakers are moved, and dropped, answered or woken after it is
//! released.

use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use foundation_kernel::containment::wake;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::after::After;
use super::capacity::Capacity;
use super::figures::{Accounts, QueueFigures};
use super::intake::Intake;
use super::lanes::Lanes;
use super::new_job::{NewJob, Refusal, Room};
use super::priorities::Priorities;
use super::rules::{JobRules, QueueSpec};
use super::state::State;
use super::turn::{Locked, Turn, Wait};
use super::waiters::Waiters;
use super::waiting::WaitingJobs;
use crate::dead_letters::DeadLetter;
use crate::error::PoolError;
use crate::event::PoolEvent;
use crate::job::id::JobId;
use crate::job::record::{Ending, JobRecord};
use crate::routing::{Router, Routing};

/// The jobs that wait, and those who wait for jobs, for room, and for the end of all jobs.
pub(crate) struct JobQueue<J, T> {
    intake: Arc<Intake<J, T>>,
    state: Mutex<State<J, T>>,
    rules: JobRules<J>,
}

impl<J, T> JobQueue<J, T> {
    pub(crate) fn new(spec: &QueueSpec, rules: JobRules<J>, router: Router) -> Self {
        let lanes = Lanes::new(Priorities::new(&spec.weights, spec.aging), router);
        let waiting = WaitingJobs::new(lanes, spec.when_full, rules.deadline);
        let capacity = Capacity::new(spec.capacity, spec.when_full);
        let intake = Arc::new(Intake::default());
        let state = State::new(Arc::clone(&intake), capacity, waiting, rules.deadline).limited(spec.rate);
        Self { intake, state: Mutex::new(state), rules }
    }

    /// A step of a worker that does not wait: jobs can come in meanwhile, and have come in that it does not see before it
    /// [empties the intake](State::empty_intake).
    pub(super) fn step_aside<R>(&self, step: impl FnOnce(&mut State<J, T>, &mut After<J, T>) -> R) -> R {
        let mut after = After::default();
        let result = step(&mut self.state.lock(), &mut after);
        self.run(after);
        result
    }

    /// A step under the lock, and what is to be done after it.
    pub(super) fn step<R>(&self, step: impl FnOnce(&mut State<J, T>, &mut After<J, T>) -> R) -> R {
        let mut after = After::default();
        let result = step(&mut self.lock(), &mut after);
        self.run(after);
        result
    }

    /// Takes a job to the caller that waits, or to the dead letters.
    pub(crate) fn end(&self, record: JobRecord<J, T>, ending: Ending) {
        let id = record.id;
        if !matches!(ending, Ending::Returned) && self.rules.events.is_observed() {
            let error = ending.to_string();
            self.rules.events.emit(PoolEvent::JobDied { id, attempts: record.attempts, error });
        }
        if let Some(error) = record.ended(ending) {
            self.rules.dead_letters.deliver(DeadLetter { id, error });
        }
    }

    pub(crate) fn rules(&self) -> &JobRules<J> {
        &self.rules
    }

    // ---- jobs ----

    /// Takes a job if there is room for it; otherwise it comes back.
    #[allow(clippy::result_large_err, reason = "a refused job goes back as it came, of any size")]
    pub(crate) fn put(&self, new: NewJob<J, T>) -> Result<JobId, PoolError<J>> {
        let now = Instant::now();
        let new = match self.intake.put(new, now) {
            Ok(id) => return Ok(id),
            Err(new) => new,
        };
        let offered = self.step(|state, after| {
            let offered = state.offer(new, Room::Free, now, after);
            if let Err((refusal, _)) = &offered {
                state.note_refused(refusal);
            }
            offered
        });
        offered.map_err(|(refusal, new)| new.refused(refusal))
    }

    /// Takes a job as soon as there is room for it. Dropped before it returns, it has taken nothing.
    pub(crate) fn put_when_room(&self, new: NewJob<J, T>, now: Instant) -> Putting<'_, J, T> {
        Putting(Wait::new(self, Sender { new: Some(new), begun: Some(now), waits: true }))
    }

    // ---- time ----

    /// Returns when there has to be a tick before this time, which the last tick has returned.
    pub(crate) async fn earlier_than(&self, known: Option<Instant>) {
        Wait::new(self, Timer(known)).await;
    }

    /// Lets jobs that are due wait for a worker, and ends those that have waited for too long. Returns when there has to be
    /// another tick: a job becomes due, has waited for too long, or may pass the rate.
    pub(crate) fn tick(&self) -> Option<Instant> {
        let now = Instant::now();
        self.step(|state, after| state.tick(now, after))
    }

    // ---- routing ----

    /// Routes jobs like this from now on. Those in inboxes are for all workers.
    pub(crate) fn set_routing(&self, routing: Routing) {
        self.step(|state, after| state.set_routing(routing, after));
    }

    pub(crate) fn routing(&self) -> Routing {
        self.lock().routing()
    }

    /// Opens and closes the inboxes of these slots. The jobs of one that closes are for the other workers.
    pub(crate) fn set_open(&self, slots: impl IntoIterator<Item = (usize, bool)>) {
        self.step(|state, after| slots.into_iter().for_each(|(slot, is_open)| state.set_open(slot, is_open, after)));
    }

    // ---- the pool as a whole ----

    /// Stops and resumes giving out jobs.
    pub(crate) fn set_paused(&self, paused: bool) {
        self.step(|state, after| state.set_paused(paused, after));
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.lock().is_paused()
    }

    /// Takes jobs and gives them out again.
    pub(crate) fn open(&self) {
        self.step(State::open);
    }

    /// Takes no more jobs from now on; returns the number of the life that ends.
    pub(crate) fn drain(&self) -> u64 {
        self.step(|state, after| {
            state.drain(after);
            state.life()
        })
    }

    /// The number of its current life.
    pub(crate) fn life(&self) -> u64 {
        self.lock().life()
    }

    /// Returns when no job waits and none is in a claim.
    pub(crate) async fn drained(&self) {
        Wait::new(self, AllJobs).await;
    }

    /// Gives out no more jobs from now on, and takes those back that have not been begun; workers end. False, and without
    /// effect, in another life than this.
    pub(crate) fn begin_close_of(&self, life: u64) -> bool {
        self.step(|state, after| {
            let lives = state.life() == life;
            if lives {
                state.begin_close(after);
            }
            lives
        })
    }

    /// Takes all jobs out; those that come back later go to their owners. Takes none in another life than this.
    pub(crate) fn close_of(&self, life: u64) -> Vec<JobRecord<J, T>> {
        self.step(|state, after| if state.life() == life { state.close(after) } else { Vec::new() })
    }

    /// Whether workers are to end.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_closed()
    }

    /// The numbers of the jobs that workers perform.
    pub(crate) fn begun(&self) -> Vec<JobId> {
        self.lock().begun()
    }

    /// All figures, of one moment.
    pub(crate) fn figures(&self) -> QueueFigures {
        self.lock().figures()
    }

    /// How many jobs wait in the inbox of each slot, by its number.
    pub(crate) fn inboxes(&self) -> Vec<usize> {
        self.lock().inboxes()
    }

    /// How many jobs wait, are delayed, and are in claims, and what has become of the others.
    pub(crate) fn counts(&self) -> (usize, usize, usize, Accounts) {
        let state = self.lock();
        (state.queued(), state.delayed(), state.claimed(), state.accounts())
    }
}

impl<J, T> Locked for JobQueue<J, T> {
    type State = State<J, T>;
    type Guard<'a>
        = LockedState<'a, J, T>
    where
        Self: 'a;
    type After = After<J, T>;

    fn lock(&self) -> LockedState<'_, J, T> {
        let mut state = self.state.lock();
        state.close_intake();
        LockedState(state)
    }

    fn run(&self, after: After<J, T>) {
        after.wakes.into_iter().for_each(wake);
        after.ended.into_iter().for_each(|(record, ending)| self.end(record, ending));
    }
}

/// The state, with all jobs that have come in. No others come in until it is dropped.
pub(super) struct LockedState<'a, J, T>(MutexGuard<'a, State<J, T>>);

impl<J, T> Deref for LockedState<'_, J, T> {
    type Target = State<J, T>;

    fn deref(&self) -> &State<J, T> {
        &self.0
    }
}

impl<J, T> DerefMut for LockedState<'_, J, T> {
    fn deref_mut(&mut self) -> &mut State<J, T> {
        &mut self.0
    }
}

impl<J, T> Drop for LockedState<'_, J, T> {
    fn drop(&mut self) {
        self.0.open_intake();
    }
}

/// The jobs that are left go to their owners: with the last handle and the last specification, the queue itself ends.
impl<J, T> Drop for JobQueue<J, T> {
    fn drop(&mut self) {
        let left = self.step(|state, after| {
            state.begin_close(after);
            state.close(after)
        });
        left.into_iter().for_each(|record| self.end(record, Ending::Returned));
    }
}

/// A job that waits for room.
pub(crate) struct Putting<'a, J, T>(Wait<'a, JobQueue<J, T>, Sender<J, T>>);

impl<J, T> Putting<'_, J, T> {
    /// Waits no longer: takes the job now, or gives it back.
    pub(crate) async fn give_up(mut self) -> Result<JobId, PoolError<J>> {
        self.0.turn().waits = false;
        self.await
    }
}

impl<J, T> Future for Putting<'_, J, T> {
    type Output = Result<JobId, PoolError<J>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let intake = &self.0.queue().intake;
        if !self.0.waits()
            && let Some(new) = self.0.turn().new.take()
        {
            let now = self.0.turn().begun.unwrap_or_else(Instant::now);
            match intake.put(new, now) {
                Ok(id) => return Poll::Ready(Ok(id)),
                Err(new) => self.0.turn().new = Some(new),
            }
        }
        Pin::new(&mut self.0).poll(context)
    }
}

/// A caller with a job that waits for room.
struct Sender<J, T> {
    new: Option<NewJob<J, T>>,
    /// The time before its first look.
    begun: Option<Instant>,
    /// Whether it waits for room.
    waits: bool,
}

impl<J, T> Turn<JobQueue<J, T>> for Sender<J, T> {
    type Output = Result<JobId, PoolError<J>>;

    fn list(state: &mut State<J, T>) -> &mut Waiters {
        state.senders()
    }

    fn take(&mut self, state: &mut State<J, T>, picked: bool, after: &mut After<J, T>) -> Option<Self::Output> {
        let new = self.new.take()?;
        if picked {
            state.release_place();
        }
        let room = if picked { Room::Reserved } else { Room::Free };
        let now = self.begun.take().unwrap_or_else(Instant::now);
        match state.offer(new, room, now, after) {
            Ok(id) => Some(Ok(id)),
            Err((Refusal::Full { .. }, new)) if self.waits && state.waits_for_room() => {
                self.new = Some(new);
                None
            }
            Err((refusal, new)) => {
                state.note_refused(&refusal);
                // Another sender gets the place that it had.
                state.pick_senders(after);
                Some(Err(new.refused(refusal)))
            }
        }
    }

    fn pass_on(state: &mut State<J, T>, after: &mut After<J, T>) {
        state.release_place();
        state.pick_senders(after);
    }
}

/// A caller that waits until all jobs have gone to their owners. All of them are picked together.
struct AllJobs;

impl<J, T> Turn<JobQueue<J, T>> for AllJobs {
    type Output = ();

    fn list(state: &mut State<J, T>) -> &mut Waiters {
        &mut state.drainers
    }

    fn take(&mut self, state: &mut State<J, T>, _: bool, _: &mut After<J, T>) -> Option<()> {
        state.is_drained().then_some(())
    }

    fn pass_on(_: &mut State<J, T>, _: &mut After<J, T>) {}
}

/// A task that waits until something happens before the time that it knows. All of them are picked together.
struct Timer(Option<Instant>);

impl<J, T> Turn<JobQueue<J, T>> for Timer {
    type Output = ();

    fn list(state: &mut State<J, T>) -> &mut Waiters {
        &mut state.timers
    }

    fn take(&mut self, state: &mut State<J, T>, _: bool, _: &mut After<J, T>) -> Option<()> {
        state.looks_before(self.0).then_some(())
    }

    fn pass_on(_: &mut State<J, T>, _: &mut After<J, T>) {}
}
