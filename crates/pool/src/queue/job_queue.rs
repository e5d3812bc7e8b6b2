//! The queue of a pool, under one lock.
//!
//! 1. An accepted job is in exactly one place: it waits, a claim has it, or it has gone to its owner.
//! 2. A worker is among the sleepers exactly while it sleeps and has not been picked.
//! 3. A job that is put in picks at most one sleeper. A picked sleeper that goes away without looking picks another.
//! 4. A claim that is dropped puts its jobs back in order, at the front; one that was begun counts as an attempt.
//! 5. A sender that was picked has a place reserved until it looks or goes away; no other job gets that place.
//! 6. Accepted jobs are those that wait, those in claims, and those that have gone to their owners.
//!
//! Under the lock no code of users runs: jobs, replies and wakers are moved, and dropped or woken after it is released.

use std::collections::VecDeque;
use std::task::Waker;

use foundation_kernel::containment::wake;
use parking_lot::{Mutex, MutexGuard};

use super::state::{Refusal, State};
use super::turn::{Turn, Wait};
use super::waiters::Waiters;
use crate::error::PoolError;
use crate::job::id::JobId;
use crate::job::record::{JobRecord, Reply};

/// The jobs that wait, and those who wait for jobs, for room, and for the end of all jobs.
pub(crate) struct JobQueue<J, T> {
    state: Mutex<State<J, T>>,
}

impl<J, T> JobQueue<J, T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { state: Mutex::new(State::new(capacity)) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<J, T>> {
        self.state.lock()
    }

    /// Takes a job if there is room for it; otherwise it comes back.
    pub(crate) fn put(&self, job: J, reply: Option<Reply<J, T>>) -> Result<JobId, PoolError<J>> {
        let mut state = self.lock();
        if let Err(refusal) = state.admit() {
            drop(state);
            return Err(refusal.of(job));
        }
        let (id, sleeper) = state.accept(job, reply);
        drop(state);
        sleeper.into_iter().for_each(wake);
        Ok(id)
    }

    /// Takes a job as soon as there is room for it. Dropped before it returns, it has taken nothing.
    pub(crate) async fn put_when_room(&self, job: J, reply: Option<Reply<J, T>>) -> Result<JobId, PoolError<J>> {
        Wait::new(self, Room(Some((job, reply)))).await
    }

    /// Takes no more jobs from now on.
    pub(crate) fn drain(&self) {
        let senders = self.lock().drain();
        senders.into_wakers().for_each(wake);
    }

    /// Returns when no job waits and none is in a claim.
    pub(crate) async fn drained(&self) {
        Wait::new(self, AllJobs).await;
    }

    /// Gives out no more jobs from now on, and gives back those that wait.
    pub(crate) fn close(&self) -> VecDeque<JobRecord<J, T>> {
        let (waiting, sleepers) = self.lock().close();
        sleepers.into_wakers().for_each(wake);
        waiting
    }

    /// Takes jobs and gives them out again.
    pub(crate) fn open(&self) {
        self.lock().open();
    }

    /// How many jobs wait.
    pub(crate) fn queued(&self) -> usize {
        self.lock().queued()
    }

    /// How many jobs are in claims.
    pub(crate) fn claimed(&self) -> usize {
        self.lock().claimed()
    }
}

/// A caller with a job that waits for room.
struct Room<J, T>(Option<(J, Option<Reply<J, T>>)>);

impl<J, T> Turn<J, T> for Room<J, T> {
    type Output = Result<JobId, PoolError<J>>;

    fn list(state: &mut State<J, T>) -> &mut Waiters {
        &mut state.senders
    }

    fn take(&mut self, state: &mut State<J, T>, picked: bool, wakes: &mut Vec<Waker>) -> Option<Self::Output> {
        let admitted = if picked { state.admit_reserved() } else { state.admit() };
        if matches!(admitted, Err(Refusal::Full { .. })) {
            return None;
        }
        let (job, reply) = self.0.take()?;
        if let Err(refusal) = admitted {
            return Some(Err(refusal.of(job)));
        }
        let (id, sleeper) = state.accept(job, reply);
        wakes.extend(sleeper);
        Some(Ok(id))
    }

    fn pass_on(state: &mut State<J, T>, wakes: &mut Vec<Waker>) {
        state.release_place();
        state.pick_senders(wakes);
    }
}

/// A caller that waits until all jobs have gone to their owners.
struct AllJobs;

impl<J, T> Turn<J, T> for AllJobs {
    type Output = ();

    fn list(state: &mut State<J, T>) -> &mut Waiters {
        &mut state.drainers
    }

    fn take(&mut self, state: &mut State<J, T>, _: bool, _: &mut Vec<Waker>) -> Option<()> {
        state.is_drained().then_some(())
    }

    /// All of them are picked together.
    fn pass_on(_: &mut State<J, T>, _: &mut Vec<Waker>) {}
}
