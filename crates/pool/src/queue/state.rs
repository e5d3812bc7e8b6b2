//! What the lock of a queue protects, and each step on it. Nothing here runs code of users: what is to be woken or
//! dropped is handed out.

use std::collections::VecDeque;
use std::mem;
use std::task::Waker;

use super::waiters::Waiters;
use crate::error::PoolError;
use crate::job::id::JobId;
use crate::job::record::{JobRecord, Reply};

/// What a queue does with jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It takes jobs and gives them out.
    Open,
    /// It gives out those that it has.
    Draining,
    /// It gives out none.
    Closed,
}

/// Why a job is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Full { queued: usize },
    Draining,
    Closed,
}

impl Refusal {
    pub(super) fn of<J>(self, job: J) -> PoolError<J> {
        match self {
            Self::Full { queued } => PoolError::Full { job, queued },
            Self::Draining => PoolError::Draining { job },
            Self::Closed => PoolError::NotRunning { job },
        }
    }
}

/// The jobs of a queue, and the tasks that wait for it.
pub(super) struct State<J, T> {
    phase: Phase,
    capacity: usize,
    waiting: VecDeque<JobRecord<J, T>>,
    /// How many jobs are in claims.
    claimed: usize,
    /// How many workers there are.
    workers: usize,
    accepted: u64,
    /// Workers that wait for a job.
    pub(super) sleepers: Waiters,
    /// Callers that wait for room.
    pub(super) senders: Waiters,
    /// Places for senders that have been picked and have not looked yet.
    reserved: usize,
    /// Callers that wait until no job is left.
    pub(super) drainers: Waiters,
}

impl<J, T> State<J, T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            phase: Phase::Open,
            capacity,
            waiting: VecDeque::new(),
            claimed: 0,
            workers: 0,
            accepted: 0,
            sleepers: Waiters::default(),
            senders: Waiters::default(),
            reserved: 0,
            drainers: Waiters::default(),
        }
    }

    // ---- jobs that come in ----

    /// Whether another job is taken now.
    pub(super) fn admit(&self) -> Result<(), Refusal> {
        match self.phase {
            Phase::Open if self.room() > 0 => Ok(()),
            Phase::Open => Err(Refusal::Full { queued: self.waiting.len() }),
            Phase::Draining => Err(Refusal::Draining),
            Phase::Closed => Err(Refusal::Closed),
        }
    }

    /// The same of a sender that was picked, whose place is given up, or taken by its job.
    pub(super) fn admit_reserved(&mut self) -> Result<(), Refusal> {
        self.release_place();
        match self.phase {
            Phase::Open => Ok(()),
            _ => self.admit(),
        }
    }

    fn room(&self) -> usize {
        self.capacity.saturating_sub(self.waiting.len() + self.reserved)
    }

    /// Takes a job that was admitted; the sleeper is to be woken.
    pub(super) fn accept(&mut self, job: J, reply: Option<Reply<J, T>>) -> (JobId, Option<Waker>) {
        self.accepted += 1;
        let id = JobId::new(self.accepted);
        self.waiting.push_back(JobRecord { id, attempts: 0, job, reply });
        (id, self.sleepers.pick_newest())
    }

    /// Gives a reserved place up.
    pub(super) fn release_place(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
    }

    /// Reserves the free places for the senders that wait the longest.
    pub(super) fn pick_senders(&mut self, wakes: &mut Vec<Waker>) {
        while self.room() > 0 {
            let Some(sender) = self.senders.pick_oldest() else { break };
            self.reserved += 1;
            wakes.push(sender);
        }
    }

    // ---- jobs that go out ----

    pub(super) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    fn gives_out(&self) -> bool {
        !self.is_closed() && !self.waiting.is_empty()
    }

    /// Moves a fair share of the waiting jobs, at most this many, into a claim.
    pub(super) fn claim(&mut self, at_most: usize, jobs: &mut VecDeque<JobRecord<J, T>>) -> usize {
        if !self.gives_out() {
            return 0;
        }
        let share = self.waiting.len() / self.workers.max(1) + 1;
        let count = share.min(at_most).min(self.waiting.len());
        jobs.extend(self.waiting.drain(..count));
        self.claimed += count;
        count
    }

    /// Puts jobs of a claim back, in order, at the front; sleepers are to be woken.
    pub(super) fn put_back(&mut self, jobs: impl DoubleEndedIterator<Item = JobRecord<J, T>>, wakes: &mut Vec<Waker>) {
        for job in jobs.rev() {
            self.claimed -= 1;
            self.waiting.push_front(job);
            wakes.extend(self.sleepers.pick_newest());
        }
    }

    /// Notes that jobs of a claim have gone to their owners.
    pub(super) fn finished(&mut self, jobs: usize, wakes: &mut Vec<Waker>) {
        self.claimed -= jobs;
        if self.is_drained() {
            wakes.extend(mem::take(&mut self.drainers).into_wakers());
        }
    }

    /// The waker of a sleeper in the place of one that was picked and has not looked.
    pub(super) fn pick_another(&mut self) -> Option<Waker> {
        if self.gives_out() { self.sleepers.pick_newest() } else { None }
    }

    // ---- workers, and the end ----

    pub(super) fn worker_came(&mut self) {
        self.workers += 1;
    }

    pub(super) fn worker_went(&mut self) {
        self.workers -= 1;
    }

    pub(super) fn is_drained(&self) -> bool {
        self.waiting.is_empty() && self.claimed == 0
    }

    pub(super) fn claimed(&self) -> usize {
        self.claimed
    }

    pub(super) fn queued(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn open(&mut self) {
        self.phase = Phase::Open;
    }

    /// Takes no more jobs; the senders are to be woken.
    pub(super) fn drain(&mut self) -> Waiters {
        if self.phase == Phase::Open {
            self.phase = Phase::Draining;
        }
        // Each of them is picked, so each has a place that it gives up.
        self.reserved += self.senders.len();
        mem::take(&mut self.senders)
    }

    /// Gives out no more jobs; those that wait come out, and the sleepers are to be woken.
    pub(super) fn close(&mut self) -> (VecDeque<JobRecord<J, T>>, Waiters) {
        self.phase = Phase::Closed;
        (mem::take(&mut self.waiting), mem::take(&mut self.sleepers))
    }
}
