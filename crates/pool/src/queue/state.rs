//! What the lock of a queue protects, and each step on it. Nothing here runs code of users: what is to be woken, dropped or
//! answered goes into an [`After`].

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::accounts::Accounts;
use super::claim_cell::ClaimCell;
use super::delayed::Delayed;
use super::keys::{Entered, Keys};
use super::lanes::Lanes;
use super::rate::{Rate, RateGate};
use super::waiters::Waiters;
use crate::error::PoolError;
use crate::job::id::JobId;
use crate::job::key::JobKey;
use crate::job::record::JobOptions;
use crate::job::record::{Ending, JobRecord, Reply};
use crate::overflow::WhenFull;
use crate::routing::{JobTimer, Routing};

/// What is to be done when the lock has been released. Allocates nothing if there is nothing to do, or one task to wake.
pub(super) struct After<J, T> {
    pub(super) wakes: Wakes,
    pub(super) ended: Vec<(JobRecord<J, T>, Ending)>,
}

/// Tasks that are to be woken. One costs no allocation: mostly it is one.
#[derive(Default)]
pub(super) struct Wakes {
    first: Option<Waker>,
    rest: Vec<Waker>,
}

impl Wakes {
    fn extend(&mut self, wakers: impl IntoIterator<Item = Waker>) {
        for waker in wakers {
            match &self.first {
                None => self.first = Some(waker),
                Some(_) => self.rest.push(waker),
            }
        }
    }
}

impl IntoIterator for Wakes {
    type Item = Waker;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Waker>, std::vec::IntoIter<Waker>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest)
    }
}

impl<J, T> Default for After<J, T> {
    fn default() -> Self {
        Self { wakes: Wakes::default(), ended: Vec::new() }
    }
}

/// What a queue does with jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// It takes jobs and gives them out.
    Open,
    /// It gives out those that it has.
    Draining,
    /// It gives out none, and keeps those that come back.
    Closing,
    /// It has none, and returns those that come back to their owners.
    Closed,
}

/// Why a job is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Full { queued: usize },
    Draining,
    Closed,
    Duplicate(JobId),
    OverRate { free_in: Duration },
}

/// A job that is not taken yet.
pub(crate) struct NewJob<J, T> {
    pub(crate) job: J,
    pub(crate) reply: Option<Reply<J, T>>,
    pub(crate) options: JobOptions,
}

impl<J, T> NewJob<J, T> {
    pub(super) fn refused(self, refusal: Refusal) -> PoolError<J> {
        let job = self.job;
        match refusal {
            Refusal::Full { queued } => PoolError::Full { job, queued },
            Refusal::Draining => PoolError::Draining { job },
            Refusal::Closed => PoolError::NotRunning { job },
            Refusal::Duplicate(id) => PoolError::Duplicate { job, id },
            Refusal::OverRate { free_in } => PoolError::OverRate { job, free_in },
        }
    }
}

/// Which place a job is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// One that is neither taken nor reserved.
    Free,
    /// The one that is reserved for its sender.
    Reserved,
}

/// The jobs of a claim that have gone to their owners since the queue was locked last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) done: u64,
}

/// The figures of a queue at one moment.
#[derive(Debug)]
pub(crate) struct QueueFigures {
    pub(crate) queued_by_priority: Vec<usize>,
    pub(crate) delayed: usize,
    pub(crate) claimed: usize,
    /// When the job was accepted that is at the front of its level and has waited the longest.
    pub(crate) oldest: Option<Instant>,
    /// Callers that wait for room.
    pub(crate) senders: usize,
    pub(crate) paused: bool,
    pub(crate) accounts: Accounts,
}

/// The jobs of a queue, and the tasks that wait for it.
pub(super) struct State<J, T> {
    phase: Phase,
    /// How often it was opened after its end: a drain closes its own life only.
    life: u64,
    paused: bool,
    capacity: usize,
    when_full: WhenFull,
    /// The pool's longest wait for the first attempt.
    deadline: Option<Duration>,
    waiting: Lanes<J, T>,
    /// Those that wait for another one of their key.
    keys: Keys<JobKey, JobRecord<J, T>>,
    rate: RateGate,
    delayed: Delayed<JobRecord<J, T>>,
    claims: Vec<Arc<ClaimCell<J, T>>>,
    /// How many jobs are in claims.
    claimed: usize,
    accounts: Accounts,
    unique: HashMap<JobKey, JobId>,
    /// Workers that wait for a job.
    pub(super) sleepers: Waiters,
    /// Callers that wait for room.
    pub(super) senders: Waiters,
    /// Places for senders that have been picked and have not looked yet.
    reserved: usize,
    /// Callers that wait until no job is left.
    pub(super) drainers: Waiters,
    /// Tasks that wait for another time at which a job is due.
    pub(super) timers: Waiters,
}

impl<J, T> State<J, T> {
    pub(super) fn new(capacity: usize, when_full: WhenFull, waiting: Lanes<J, T>, deadline: Option<Duration>) -> Self {
        Self {
            phase: Phase::Open,
            life: 0,
            paused: false,
            capacity,
            when_full,
            deadline,
            keys: Keys::default(),
            waiting,
            rate: RateGate::new(None),
            delayed: Delayed::new(),
            claims: Vec::new(),
            claimed: 0,
            accounts: Accounts::default(),
            unique: HashMap::new(),
            sleepers: Waiters::default(),
            senders: Waiters::default(),
            reserved: 0,
            drainers: Waiters::default(),
            timers: Waiters::default(),
        }
    }

    /// The same, with a rate.
    pub(super) fn limited(self, rate: Option<Rate>) -> Self {
        Self { rate: RateGate::new(rate), ..self }
    }

    // ---- jobs that come in ----

    /// Takes a job, or says why not.
    #[allow(clippy::result_large_err, reason = "a refused job goes back as it came, of any size")]
    pub(super) fn offer(
        &mut self,
        new: NewJob<J, T>,
        room: Room,
        now: Instant,
        after: &mut After<J, T>,
    ) -> Result<JobId, (Refusal, NewJob<J, T>)> {
        if let Err(refusal) = self.admit(&new) {
            return Err((refusal, new));
        }
        let is_full = room == Room::Free && self.room() == 0;
        // Before the rate: a job for which there is no room takes no token.
        if is_full && !self.can_make_room() {
            return Err((Refusal::Full { queued: self.queued() }, new));
        }
        if let Err(free_in) = self.rate.accept(now) {
            return Err((Refusal::OverRate { free_in }, new));
        }
        if is_full {
            match self.when_full {
                WhenFull::DropNewest => {
                    let record = self.record(new, now);
                    let id = record.id;
                    self.drop_for_room(record, after);
                    return Ok(id);
                }
                _ => {
                    let oldest = self.waiting.pop_least_urgent();
                    oldest.into_iter().for_each(|oldest| self.drop_for_room(oldest, after));
                }
            }
        }
        Ok(self.accept(new, now, after))
    }

    fn admit(&self, new: &NewJob<J, T>) -> Result<(), Refusal> {
        match self.phase {
            Phase::Open => {}
            Phase::Draining | Phase::Closing => return Err(Refusal::Draining),
            Phase::Closed => return Err(Refusal::Closed),
        }
        let same = new.options.unique.as_ref().and_then(|key| self.unique.get(key));
        same.map_or(Ok(()), |id| Err(Refusal::Duplicate(*id)))
    }

    /// Whether a job gives way in a full queue: the new one, or another.
    fn can_make_room(&self) -> bool {
        match self.when_full {
            WhenFull::Wait | WhenFull::Refuse => false,
            WhenFull::DropNewest => true,
            WhenFull::DropOldest => !self.waiting.is_empty(),
        }
    }

    fn room(&self) -> usize {
        self.capacity.saturating_sub(self.queued() + self.delayed.len() + self.reserved)
    }

    fn record(&mut self, new: NewJob<J, T>, now: Instant) -> JobRecord<J, T> {
        self.accounts.accepted += 1;
        let NewJob { job, reply, options } = new;
        let (id, level) = (JobId::new(self.accounts.accepted), options.priority);
        JobRecord { id, attempts: 0, level, accepted: now, job, reply, options: options.kept() }
    }

    fn accept(&mut self, new: NewJob<J, T>, now: Instant, after: &mut After<J, T>) -> JobId {
        let delay = new.options.delay;
        let record = self.record(new, now);
        let id = record.id;
        if let Some(key) = record.unique() {
            self.unique.insert(key.clone(), id);
        }
        match delay {
            Some(delay) => self.delay(record, now, delay, after),
            None => self.enqueue(record, after),
        }
        id
    }

    /// Lets a job wait for a worker, or for the job of its key that is before it.
    fn enqueue(&mut self, record: JobRecord<J, T>, after: &mut After<J, T>) {
        let entered = match record.key_to_enter() {
            None => return self.line_up(record, after),
            Some(key) => self.keys.enter(&key, record),
        };
        match entered {
            Entered::Head(slot, record) => self.line_up(record.into_head(slot), after),
            Entered::NoRoom(record) => self.line_up(record, after),
            Entered::Waits => {}
        }
    }

    fn line_up(&mut self, record: JobRecord<J, T>, after: &mut After<J, T>) {
        let slot = self.waiting.push_back(record);
        self.pick_sleeper(slot, after);
    }

    /// Picks a sleeper for a job that waits: the worker of its inbox, or another one that may take it.
    fn pick_sleeper(&mut self, slot: Option<usize>, after: &mut After<J, T>) {
        if self.paused {
            return;
        }
        let picked = match slot {
            None => self.sleepers.pick_newest(),
            Some(slot) => {
                let owner = self.sleepers.pick_newest_of(|sleeper| sleeper == slot);
                let is_pinned = self.waiting.routing().is_pinned();
                owner.or_else(|| if is_pinned { None } else { self.sleepers.pick_newest() })
            }
        };
        after.wakes.extend(picked);
    }

    fn delay(&mut self, record: JobRecord<J, T>, now: Instant, delay: Duration, after: &mut After<J, T>) {
        if self.delayed.push(far(now, delay), record) {
            after.wakes.extend(mem::take(&mut self.timers).into_wakers());
        }
    }

    fn drop_for_room(&mut self, record: JobRecord<J, T>, after: &mut After<J, T>) {
        self.accounts.dropped += 1;
        self.forget(&record, after);
        after.ended.push((record, Ending::Dropped));
    }

    /// A job for which there is no room, or no token, is refused; other refusals say nothing about the load.
    pub(super) fn note_refused(&mut self, refusal: &Refusal) {
        let is_full = matches!(refusal, Refusal::Full { .. });
        self.accounts.full += u64::from(is_full);
        self.accounts.refused += u64::from(is_full || matches!(refusal, Refusal::OverRate { .. }));
    }

    pub(super) fn waits_for_room(&self) -> bool {
        self.when_full == WhenFull::Wait
    }

    /// Gives a reserved place up.
    pub(super) fn release_place(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
    }

    /// Reserves the free places for the senders that have waited for the longest.
    pub(super) fn pick_senders(&mut self, after: &mut After<J, T>) {
        while self.senders.len() > 0 && self.room() > 0 {
            self.reserved += 1;
            after.wakes.extend(self.senders.pick_oldest());
        }
    }

    // ---- jobs that go out ----

    /// Whether workers are to end.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closing | Phase::Closed)
    }

    fn gives_out(&self) -> bool {
        !self.is_closed() && !self.paused && !self.waiting.is_empty()
    }

    /// Moves a fair share of the waiting jobs, at most this many, into a claim. Those that have expired end.
    pub(super) fn claim(&mut self, at_most: usize, cell: &ClaimCell<J, T>, after: &mut After<J, T>) -> usize {
        if !self.gives_out() {
            return 0;
        }
        let share = self.waiting.len() / self.claims.len().max(1) + 1;
        let (limit, mut claimed) = (share.min(at_most).min(self.rate.available()), 0);
        let mut rest = cell.rest.lock();
        while claimed < limit {
            let waited = |record: &JobRecord<J, T>| record.accepted.elapsed();
            let Some(record) = self.waiting.pop(cell, claimed == 0, waited) else { break };
            match self.expired(&record) {
                Some(waited) => self.expire(record, waited, after),
                None => {
                    rest.push_back(record);
                    claimed += 1;
                }
            }
        }
        drop(rest);
        self.claimed += claimed;
        self.rate.begin(claimed);
        if self.gives_out() && self.rate.next().is_some() {
            after.wakes.extend(mem::take(&mut self.timers).into_wakers());
        }
        claimed
    }

    /// The clock is read only for a job that can expire.
    fn expired(&self, record: &JobRecord<J, T>) -> Option<Duration> {
        record.deadline(self.deadline)?;
        record.expired(self.deadline, Instant::now())
    }

    fn expire(&mut self, record: JobRecord<J, T>, waited: Duration, after: &mut After<J, T>) {
        self.accounts.expired += 1;
        self.forget(&record, after);
        after.ended.push((record, Ending::Expired(waited)));
        self.pick_drainers(after);
    }

    /// Puts the jobs of a claim back that have not been begun.
    pub(super) fn put_back_unbegun(
        &mut self,
        rest: VecDeque<JobRecord<J, T>>,
        cell: &ClaimCell<J, T>,
        after: &mut After<J, T>,
    ) {
        self.rate.give_back(rest.len());
        self.put_back(rest.into_iter(), cell, after);
    }

    /// Puts jobs of a claim back, in order, at the front.
    pub(super) fn put_back(
        &mut self,
        jobs: impl DoubleEndedIterator<Item = JobRecord<J, T>>,
        cell: &ClaimCell<J, T>,
        after: &mut After<J, T>,
    ) {
        for record in jobs.rev() {
            self.claimed -= 1;
            if self.phase == Phase::Closed {
                self.return_to_owner(record, after);
                continue;
            }
            let slot = self.waiting.push_front(record, cell);
            self.pick_sleeper(slot, after);
        }
    }

    /// Puts a job that was begun back for another attempt, after this time.
    pub(super) fn retry(&mut self, record: JobRecord<J, T>, delay: Duration, after: &mut After<J, T>) {
        self.claimed -= 1;
        self.accounts.failed += 1;
        self.accounts.retried += 1;
        if self.phase == Phase::Closed {
            return self.return_to_owner(record, after);
        }
        match delay {
            Duration::ZERO => self.enqueue(record, after),
            delay => self.delay(record, Instant::now(), delay, after),
        }
    }

    /// Ends a job that was begun and has failed for good.
    pub(super) fn die(&mut self, record: JobRecord<J, T>, ending: Ending, after: &mut After<J, T>) {
        self.claimed -= 1;
        self.accounts.failed += 1;
        self.accounts.died += 1;
        self.forget(&record, after);
        after.ended.push((record, ending));
        self.pick_drainers(after);
    }

    /// Notes the jobs of a claim that were done.
    pub(super) fn finish(&mut self, tally: &mut Tally, after: &mut After<J, T>) {
        let Tally { done } = mem::take(tally);
        self.claimed -= done as usize;
        self.accounts.done += done;
        self.pick_drainers(after);
    }

    /// What a job that is leaving has been the only one of can be used again, and the next one of its key waits for a worker.
    pub(super) fn forget(&mut self, record: &JobRecord<J, T>, after: &mut After<J, T>) {
        if let Some(slot) = record.key_slot()
            && let Some(next) = self.keys.leave(slot)
        {
            self.line_up(next.into_head(slot), after);
        }
        if let Some(key) = record.unique() {
            self.unique.remove(key);
        }
    }

    fn return_to_owner(&mut self, record: JobRecord<J, T>, after: &mut After<J, T>) {
        self.accounts.returned += 1;
        self.forget(&record, after);
        after.ended.push((record, Ending::Returned));
        self.pick_drainers(after);
    }

    /// The waker of a sleeper in the place of one that was picked and has not looked.
    pub(super) fn pick_another(&mut self, after: &mut After<J, T>) {
        if self.gives_out() {
            after.wakes.extend(self.sleepers.pick_newest_of(|slot| self.waiting.has_for(slot)));
        }
    }

    fn pick_drainers(&mut self, after: &mut After<J, T>) {
        if self.drainers.len() > 0 && self.is_drained() {
            after.wakes.extend(mem::take(&mut self.drainers).into_wakers());
        }
    }

    fn pick_sleepers(&mut self, after: &mut After<J, T>) {
        let jobs = if self.gives_out() { self.waiting.len().min(self.rate.available()) } else { 0 };
        after.wakes.extend((0..jobs).map_while(|_| self.sleepers.pick_newest_of(|slot| self.waiting.has_for(slot))));
    }

    // ---- time ----

    /// When the next delayed job is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let free = if self.gives_out() { self.rate.next() } else { None };
        self.delayed.next_due().into_iter().chain(free).min()
    }

    /// Lets jobs that are due wait for a worker, and ends those at the front of their level that have expired.
    pub(super) fn tick(&mut self, now: Instant, after: &mut After<J, T>) {
        while let Some(record) = self.delayed.pop_due(now) {
            self.enqueue(record, after);
        }
        let rule = self.deadline;
        while let Some(record) = self.waiting.pop_front_if(|record| record.expired(rule, now).is_some()) {
            let waited = now.saturating_duration_since(record.accepted);
            self.expire(record, waited, after);
        }
        if self.rate.is_limited() {
            self.pick_sleepers(after);
        }
        self.pick_senders(after);
        self.pick_drainers(after);
    }

    // ---- workers, and the end ----

    pub(super) fn worker_came(&mut self, cell: &Arc<ClaimCell<J, T>>, after: &mut After<J, T>) {
        self.claims.push(Arc::clone(cell));
        if self.waiting.worker_came(cell) > 0 {
            self.pick_sleepers(after);
        }
    }

    pub(super) fn worker_went(&mut self, cell: &Arc<ClaimCell<J, T>>, after: &mut After<J, T>) {
        self.claims.retain(|other| !Arc::ptr_eq(other, cell));
        if self.waiting.worker_went(cell) > 0 {
            self.pick_sleepers(after);
        }
    }

    /// Opens or closes the inbox of a slot. The jobs of one that closes are for the other workers.
    pub(super) fn set_open(&mut self, slot: usize, is_open: bool, after: &mut After<J, T>) {
        if self.waiting.set_open(slot, is_open) > 0 {
            self.pick_sleepers(after);
        }
    }

    pub(super) fn set_routing(&mut self, routing: Routing, after: &mut After<J, T>) {
        self.waiting.set_routing(routing);
        self.pick_sleepers(after);
    }

    pub(super) fn routing(&self) -> Routing {
        self.waiting.routing()
    }

    /// What measures the jobs of a worker, if the routing looks at that.
    pub(super) fn timer(&self, cell: &ClaimCell<J, T>) -> Option<JobTimer> {
        self.waiting.timer(cell)
    }

    /// Takes the jobs that have not been begun back from all claims.
    pub(super) fn reclaim(&mut self, after: &mut After<J, T>) {
        for cell in mem::take(&mut self.claims) {
            let rest = mem::take(&mut *cell.rest.lock());
            self.put_back_unbegun(rest, &cell, after);
            self.claims.push(cell);
        }
    }

    pub(super) fn set_paused(&mut self, paused: bool, after: &mut After<J, T>) {
        self.paused = paused;
        match paused {
            true => self.reclaim(after),
            false => self.pick_sleepers(after),
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(super) fn is_drained(&self) -> bool {
        self.queued() == 0 && self.delayed.is_empty() && self.claimed == 0
    }

    pub(super) fn claimed(&self) -> usize {
        self.claimed
    }

    pub(super) fn queued(&self) -> usize {
        self.waiting.len() + self.keys.waiting()
    }

    pub(super) fn delayed(&self) -> usize {
        self.delayed.len()
    }

    pub(super) fn figures(&self) -> QueueFigures {
        QueueFigures {
            queued_by_priority: self.waiting.lens(),
            delayed: self.delayed.len(),
            claimed: self.claimed,
            oldest: self.waiting.fronts().map(|record| record.accepted).min(),
            senders: self.senders.len(),
            paused: self.paused,
            accounts: self.accounts,
        }
    }

    pub(super) fn accounts(&self) -> Accounts {
        self.accounts
    }

    /// The numbers of the jobs that workers perform.
    pub(super) fn begun(&self) -> Vec<JobId> {
        let mut numbers: Vec<_> = self.claims.iter().map(|cell| cell.begun.load(Ordering::Relaxed)).collect();
        self.claims.iter().for_each(|cell| numbers.extend_from_slice(&cell.batch.lock()));
        numbers.into_iter().filter(|number| *number > 0).map(JobId::new).collect()
    }

    pub(super) fn open(&mut self, after: &mut After<J, T>) {
        if self.is_closed() {
            self.life += 1;
        }
        self.phase = Phase::Open;
        self.pick_sleepers(after);
    }

    /// The number of this life.
    pub(super) fn life(&self) -> u64 {
        self.life
    }

    /// Takes no more jobs.
    pub(super) fn drain(&mut self, after: &mut After<J, T>) {
        if self.phase != Phase::Open {
            return;
        }
        self.phase = Phase::Draining;
        // Each of them is picked, so each has a place that it gives up.
        self.reserved += self.senders.len();
        after.wakes.extend(mem::take(&mut self.senders).into_wakers());
    }

    /// Gives out no more jobs, and takes those back that have not been begun; workers end.
    pub(super) fn begin_close(&mut self, after: &mut After<J, T>) {
        self.drain(after);
        self.phase = self.phase.max(Phase::Closing);
        self.reclaim(after);
        after.wakes.extend(mem::take(&mut self.sleepers).into_wakers());
    }

    /// Takes out all jobs, in the order of acceptance. Those that come back later go to their owners.
    pub(super) fn close(&mut self, after: &mut After<J, T>) -> Vec<JobRecord<J, T>> {
        self.phase = Phase::Closed;
        let mut all = self.waiting.drain();
        // Before those of the lanes leave: nothing moves up then.
        all.extend(self.keys.remove_waiting(|_| true));
        all.extend(self.delayed.drain());
        all.sort_unstable_by_key(|record| record.id);
        self.accounts.returned += all.len() as u64;
        all.iter().for_each(|record| self.forget(record, after));
        self.pick_drainers(after);
        all
    }
}

/// A time from now; one that the clock cannot tell is a year from now.
fn far(now: Instant, delay: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);
    now.checked_add(delay.min(YEAR)).unwrap_or(now)
}
