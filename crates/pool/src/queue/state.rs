//! What the lock of a queue protects, and each step on it. Nothing here runs code of users: what is to be woken, dropped or
//! answered goes into an [`After`].

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::after::After;
use super::capacity::Capacity;
use super::claim_cell::{ClaimCell, Tally};
use super::figures::{Accounts, QueueFigures, QueueLoad};
use super::intake::Intake;
use super::lanes::Lane;
use super::life::QueueLife;
use super::new_job::{NewJob, Refusal, Room};
use super::rate::{Rate, RateGate};
use super::waiters::Waiters;
use super::waiting::{TimePassed, WaitingJobs};
use crate::job::id::JobId;
use crate::job::key::JobKey;
use crate::job::record::{Ending, JobRecord};
use crate::overflow::WhenFull;
use crate::routing::{JobTimer, Routing};
use crate::timetable::far;

/// For how many jobs of the intake the memory is kept after a burst.
const MAX_KEPT: usize = 4_096;

/// The jobs of a queue, and the tasks that wait for it.
pub(super) struct State<J, T> {
    /// Jobs that have come in without the lock.
    intake: Arc<Intake<J, T>>,
    intake_is_open: bool,
    /// Empty: what holds the jobs of the intake while they are moved.
    moved: Vec<JobRecord<J, T>>,
    life: QueueLife,
    capacity: Capacity,
    /// The pool's longest wait for the first attempt.
    deadline: Option<Duration>,
    waiting: WaitingJobs<J, T>,
    rate: RateGate,
    claims: Vec<Arc<ClaimCell<J, T>>>,
    /// How many jobs are in claims.
    claimed: usize,
    accounts: Accounts,
    unique: HashMap<JobKey, JobId>,
    /// Workers that wait for a job.
    pub(super) sleepers: Waiters,
    /// Callers that wait until no job is left.
    pub(super) drainers: Waiters,
    /// Tasks that wait for an earlier time at which something happens.
    pub(super) timers: Waiters,
    /// The time that the latest of them knows: it looks then in any case.
    timers_know: Option<Instant>,
    /// Whether a job was left without a token since the last tick.
    left_by_rate: bool,
}

impl<J, T> State<J, T> {
    pub(super) fn new(
        intake: Arc<Intake<J, T>>,
        capacity: Capacity,
        waiting: WaitingJobs<J, T>,
        deadline: Option<Duration>,
    ) -> Self {
        Self {
            intake,
            intake_is_open: false,
            moved: Vec::new(),
            life: QueueLife::default(),
            capacity,
            deadline,
            waiting,
            rate: RateGate::new(None),
            claims: Vec::new(),
            claimed: 0,
            accounts: Accounts::default(),
            unique: HashMap::new(),
            sleepers: Waiters::default(),
            drainers: Waiters::default(),
            timers: Waiters::default(),
            timers_know: None,
            left_by_rate: false,
        }
    }

    /// The same, with a rate.
    pub(super) fn limited(self, rate: Option<Rate>) -> Self {
        Self { rate: RateGate::new(rate), ..self }
    }

    // ---- the intake ----

    /// Lets the jobs wait that have come in without the lock; more can come in.
    pub(super) fn empty_intake(&mut self) {
        if self.intake_is_open {
            self.intake.empty_into(&mut self.moved);
            self.move_in();
        }
    }

    /// Lets the jobs wait that have come in without the lock; no more come in.
    pub(super) fn close_intake(&mut self) {
        if mem::take(&mut self.intake_is_open) {
            self.intake.close_into(&mut self.moved);
            self.move_in();
        }
    }

    /// No task waits for the queue while the intake is open, so that there is none to wake.
    fn move_in(&mut self) {
        self.accounts.accepted += self.moved.len() as u64;
        for record in self.moved.drain(..) {
            self.waiting.add(record);
        }
        if self.moved.capacity() > MAX_KEPT {
            self.moved = Vec::new();
        }
    }

    /// Lets jobs come in without the lock, if all that they need is room.
    pub(super) fn open_intake(&mut self) {
        let no_task_waits = self.sleepers.len() + self.capacity.senders.len() + self.drainers.len() == 0;
        let room_is_enough = self.life.admit().is_ok() && self.rate.is_none() && self.deadline.is_none();
        if !self.intake_is_open && no_task_waits && room_is_enough {
            self.intake_is_open = true;
            self.intake.open(self.capacity.free(self.waiting.len()), self.accounts.accepted);
        }
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
        let is_full = room == Room::Free && self.capacity.free(self.waiting.len()) == 0;
        // Before the rate: a job for which there is no room takes no token.
        if is_full && !self.can_make_room() {
            return Err((Refusal::Full { queued: self.queued() }, new));
        }
        if let Err(free_in) = self.rate.accept(now) {
            return Err((Refusal::OverRate { free_in }, new));
        }
        if is_full {
            match self.capacity.when_full {
                WhenFull::DropNewest => {
                    let record = self.record(new, now);
                    let id = record.id;
                    self.drop_for_room(record, after);
                    return Ok(id);
                }
                _ => {
                    let oldest = self.waiting.remove_oldest();
                    oldest.into_iter().for_each(|oldest| self.drop_for_room(oldest, after));
                }
            }
        }
        Ok(self.accept(new, now, after))
    }

    fn admit(&self, new: &NewJob<J, T>) -> Result<(), Refusal> {
        self.life.admit()?;
        let same = new.unique().and_then(|key| self.unique.get(key));
        same.map_or(Ok(()), |id| Err(Refusal::Duplicate(*id)))
    }

    /// Whether a job gives way in a full queue: the new one, or another.
    fn can_make_room(&self) -> bool {
        match self.capacity.when_full {
            WhenFull::Wait | WhenFull::Refuse => false,
            WhenFull::DropNewest => true,
            WhenFull::DropOldest => self.waiting.len() > 0,
        }
    }

    fn record(&mut self, new: NewJob<J, T>, now: Instant) -> JobRecord<J, T> {
        self.accounts.accepted += 1;
        new.accepted(JobId::new(self.accounts.accepted), now)
    }

    fn accept(&mut self, new: NewJob<J, T>, now: Instant, after: &mut After<J, T>) -> JobId {
        let delay = new.delay();
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
        let nothing_ready = self.waiting.ready() == 0;
        if let Some(lane) = self.waiting.add(record) {
            self.became_ready(lane, nothing_ready, after);
        }
        self.wake_timers(after);
    }

    /// A job has come to wait for a worker.
    fn became_ready(&mut self, lane: Lane, first: bool, after: &mut After<J, T>) {
        if first {
            self.rate.catch_up();
        }
        self.pick_sleeper(lane, after);
    }

    /// Picks a sleeper for a job that waits: the worker of its inbox, or another one that may take it.
    fn pick_sleeper(&mut self, lane: Lane, after: &mut After<J, T>) {
        if self.life.is_paused() {
            return;
        }
        let picked = match lane {
            Lane::Shared => self.sleepers.pick_newest(),
            Lane::Inbox(slot) => {
                let owner = self.sleepers.pick_newest_of(|sleeper| sleeper == slot as usize);
                let is_pinned = self.waiting.routing().is_pinned();
                owner.or_else(|| if is_pinned { None } else { self.sleepers.pick_newest() })
            }
        };
        after.wakes.extend(picked);
    }

    fn delay(&mut self, record: JobRecord<J, T>, now: Instant, delay: Duration, after: &mut After<J, T>) {
        self.waiting.delay(record, far(now, delay));
        self.wake_timers(after);
    }

    /// Wakes the timers if something happens earlier than they know.
    fn wake_timers(&mut self, after: &mut After<J, T>) {
        if self.timers.len() > 0 && self.next_due_before(self.timers_know).is_some() {
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
        self.capacity.when_full == WhenFull::Wait
    }

    /// Callers that wait for room.
    pub(super) fn senders(&mut self) -> &mut Waiters {
        &mut self.capacity.senders
    }

    /// Gives a reserved place up.
    pub(super) fn release_place(&mut self) {
        self.capacity.release();
    }

    /// Reserves the free places for the senders that have waited for the longest.
    pub(super) fn pick_senders(&mut self, after: &mut After<J, T>) {
        let taken = self.waiting.len();
        after.wakes.extend(std::iter::from_fn(|| self.capacity.pick_sender(taken)));
    }

    // ---- jobs that go out ----

    /// Whether workers are to end.
    pub(super) fn is_closed(&self) -> bool {
        self.life.ends_workers()
    }

    fn gives_out(&self) -> bool {
        self.life.gives_out() && self.waiting.ready() > 0
    }

    /// Moves a fair share of the waiting jobs, at most this many, into a claim. Those that have expired end.
    pub(super) fn claim(&mut self, at_most: usize, cell: &ClaimCell<J, T>, after: &mut After<J, T>) -> usize {
        loop {
            let (claimed, expired) = self.claim_ready(at_most, cell, after);
            if expired.is_empty() {
                return claimed;
            }
            // The next ones of their keys are ready now, and this worker does not sleep yet: it looks again.
            for record in expired {
                let waited = record.accepted.elapsed();
                self.expire(record, waited, after);
            }
            if claimed > 0 {
                return claimed;
            }
        }
    }

    /// Moves jobs that are ready into a claim, and takes out those that have expired. They end later: the jobs behind them
    /// are routed then, for which the claims are looked at.
    fn claim_ready(
        &mut self,
        at_most: usize,
        cell: &ClaimCell<J, T>,
        after: &mut After<J, T>,
    ) -> (usize, Vec<JobRecord<J, T>>) {
        let (mut claimed, mut expired) = (0, Vec::new());
        if !self.gives_out() {
            return (claimed, expired);
        }
        let share = self.waiting.ready() / self.claims.len().max(1) + 1;
        // Under a rate one job at a time: those behind it in a claim would be begun whenever it ends.
        let at_most = if self.rate.is_limited() { 1 } else { at_most };
        let limit = share.min(at_most).min(self.rate.available());
        let mut rest = cell.rest.lock();
        while claimed < limit {
            let Some(record) = self.waiting.pop(cell, claimed == 0) else { break };
            match record.has_expired(self.deadline) {
                true => expired.push(record),
                false => {
                    rest.push_back(record);
                    claimed += 1;
                }
            }
        }
        drop(rest);
        self.claimed += claimed;
        self.rate.begin(claimed);
        if self.rate.is_limited() && self.gives_out() {
            self.rate.note_short();
            self.wake_for_rate(after);
        }
        (claimed, expired)
    }

    /// Ends a job of a claim that has waited for too long behind the others of the claim.
    pub(super) fn expire_claimed(&mut self, record: JobRecord<J, T>, after: &mut After<J, T>) {
        self.claimed -= 1;
        self.rate.give_back(1);
        let waited = record.accepted.elapsed();
        self.expire(record, waited, after);
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
            if self.life.is_over() {
                self.return_to_owner(record, after);
                continue;
            }
            let lane = self.waiting.put_back(record, cell);
            self.pick_sleeper(lane, after);
        }
        self.wake_timers(after);
    }

    /// Puts a job that was begun back for another attempt, after this time.
    pub(super) fn retry(&mut self, record: JobRecord<J, T>, delay: Duration, after: &mut After<J, T>) {
        self.claimed -= 1;
        self.accounts.failed += 1;
        if self.life.is_over() {
            return self.return_to_owner(record, after);
        }
        self.accounts.retried += 1;
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
        let nothing_ready = self.waiting.ready() == 0;
        if let Some(slot) = record.key_slot()
            && let Some(lane) = self.waiting.leave_key(slot)
        {
            self.became_ready(lane, nothing_ready, after);
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
        let (ready, tokens) = if self.gives_out() { (self.waiting.ready(), self.rate.available()) } else { (0, 0) };
        let jobs = ready.min(tokens);
        after.wakes.extend((0..jobs).map_while(|_| self.sleepers.pick_newest_of(|slot| self.waiting.has_for(slot))));
        if tokens < ready {
            // Those that the rate holds back have to be looked for later.
            self.wake_for_rate(after);
        }
        self.wake_timers(after);
    }

    /// Has whoever keeps the time look for the next token, for which jobs wait. It may have come by now: then nobody else
    /// gives it to them, so that there is a look in any case.
    fn wake_for_rate(&mut self, after: &mut After<J, T>) {
        self.left_by_rate = true;
        let now = Instant::now();
        let next = self.rate.next(now).unwrap_or(now);
        if self.timers_know.is_none_or(|known| next < known) {
            after.wakes.extend(mem::take(&mut self.timers).into_wakers());
        }
    }

    // ---- time ----

    /// When something happens next: a job becomes due, has waited for too long, or may pass the rate.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        let free = if self.gives_out() { self.rate.next(now) } else { None };
        self.waiting.next_time().into_iter().chain(free).min()
    }

    /// The same, if that is before the time that a timer knows.
    fn next_due_before(&self, known: Option<Instant>) -> Option<Instant> {
        self.next_due(Instant::now()).filter(|next| known.is_none_or(|known| *next < known))
    }

    /// Whether a timer that knows this time has to look earlier; otherwise it waits.
    pub(super) fn looks_before(&mut self, known: Option<Instant>) -> bool {
        let looks = self.left_by_rate || self.next_due_before(known).is_some();
        if !looks {
            self.timers_know = known;
        }
        looks
    }

    /// Lets jobs that are due wait for a worker, and ends those that have waited for too long, wherever they stand. Returns when
    /// something happens next.
    pub(super) fn tick(&mut self, now: Instant, after: &mut After<J, T>) -> Option<Instant> {
        let mut nothing_ready = self.waiting.ready() == 0;
        while let Some(passed) = self.waiting.pass_time(now) {
            match passed {
                TimePassed::Ready(lane) => self.became_ready(lane, nothing_ready, after),
                TimePassed::Waits => {}
                TimePassed::Expired(record, waited) => self.expire(record, waited, after),
            }
            nothing_ready = self.waiting.ready() == 0;
        }
        if self.rate.is_limited() {
            self.pick_sleepers(after);
        }
        self.pick_senders(after);
        self.pick_drainers(after);
        // A token that has come since `now` was given to a worker just now, or is found at once by the next tick.
        self.left_by_rate = false;
        self.next_due(now)
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
        self.life.set_paused(paused);
        match paused {
            true => self.reclaim(after),
            false => self.pick_sleepers(after),
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.life.is_paused()
    }

    pub(super) fn is_drained(&self) -> bool {
        self.waiting.len() == 0 && self.claimed == 0
    }

    pub(super) fn claimed(&self) -> usize {
        self.claimed
    }

    pub(super) fn queued(&self) -> usize {
        self.waiting.queued()
    }

    pub(super) fn delayed(&self) -> usize {
        self.waiting.delayed()
    }

    /// How many jobs wait in the inbox of each slot, by its number.
    pub(super) fn inboxes(&self) -> Vec<usize> {
        self.waiting.inboxes()
    }

    pub(super) fn figures(&self) -> QueueFigures {
        QueueFigures {
            queued_by_priority: self.waiting.queued_by_priority(),
            delayed: self.waiting.delayed(),
            claimed: self.claimed,
            oldest: self.waiting.oldest(),
            senders: self.capacity.senders.len(),
            paused: self.life.is_paused(),
            load: self.load(),
            accounts: self.accounts,
        }
    }

    fn load(&self) -> QueueLoad {
        let waiting = if self.gives_out() { self.waiting.ready() } else { 0 };
        QueueLoad { ready: self.waiting.became_ready(), waiting, allowance: self.rate.allowance() }
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
        self.life.open();
        self.pick_sleepers(after);
    }

    /// The number of this life.
    pub(super) fn life(&self) -> u64 {
        self.life.number()
    }

    /// Takes no more jobs.
    pub(super) fn drain(&mut self, after: &mut After<J, T>) {
        if self.life.drain() {
            after.wakes.extend(self.capacity.pick_all());
        }
    }

    /// Gives out no more jobs, and takes those back that have not been begun; workers end.
    pub(super) fn begin_close(&mut self, after: &mut After<J, T>) {
        self.drain(after);
        self.life.begin_close();
        self.reclaim(after);
        after.wakes.extend(mem::take(&mut self.sleepers).into_wakers());
    }

    /// Takes out all jobs, in the order of acceptance. Those that come back later go to their owners.
    pub(super) fn close(&mut self, after: &mut After<J, T>) -> Vec<JobRecord<J, T>> {
        self.life.close();
        let all = self.waiting.take_all();
        self.accounts.returned += all.len() as u64;
        all.iter().for_each(|record| self.forget(record, after));
        self.pick_drainers(after);
        all
    }
}
