//! The jobs that wait: for a worker, for another job of their key, or for their time.
//!
//! 1. A job that waits is in the slab, and stands in exactly one place: a lane, the chain of its key, or the delayed.
//! 2. Each job is counted where it comes to stand, and nowhere else: at its level, or among the delayed.
//! 3. A job has a time exactly if it is delayed, or may expire. So the earliest of all times is the next at which something
//!    happens to any of them, wherever it stands.
//! 4. A job has an age exactly if the queue drops the oldest.
//! 5. The key of a job is left only when its head has left the pool; one that is removed from behind its head leaves nothing.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::claim_cell::ClaimCell;
use super::keys::{Entered, KeySlot, Keys};
use super::lanes::{JobSlab, Lane, Lanes, Standing, WaitingJob};
use super::slab::{Slab, SlabIndex};
use super::timetable::Timetable;
use crate::job::id::JobId;
use crate::job::key::JobKey;
use crate::job::record::JobRecord;
use crate::overflow::WhenFull;
use crate::routing::{JobTimer, Routing};

/// The jobs that wait.
pub(super) struct WaitingJobs<J, T> {
    jobs: JobSlab<J, T>,
    lanes: Lanes<J, T>,
    keys: Keys<JobKey>,
    times: Timetable,
    /// The least urgent level first, and of that the oldest first.
    ages: Option<BTreeMap<(Reverse<u8>, JobId), SlabIndex>>,
    /// The pool's longest wait for the first attempt.
    deadline: Option<Duration>,
    queued: Box<[usize]>,
    delayed: usize,
    /// How often a job has become ready.
    became_ready: u64,
}

/// What the time of a job has brought.
pub(super) enum TimePassed<J, T> {
    /// It waits for a worker in this lane.
    Ready(Lane),
    /// It waits for another one of its key.
    Waits,
    /// It has waited for longer than it may.
    Expired(JobRecord<J, T>, Duration),
}

impl<J, T> WaitingJobs<J, T> {
    pub(super) fn new(lanes: Lanes<J, T>, when_full: WhenFull, deadline: Option<Duration>) -> Self {
        Self {
            queued: vec![0; lanes.levels()].into_boxed_slice(),
            jobs: Slab::default(),
            lanes,
            keys: Keys::default(),
            times: Timetable::default(),
            ages: (when_full == WhenFull::DropOldest).then(BTreeMap::new),
            deadline,
            delayed: 0,
            became_ready: 0,
        }
    }

    // ---- jobs that come in ----

    /// Lets a job wait for a worker, in the lane that is returned, or for the job of its key that is before it.
    pub(super) fn add(&mut self, record: JobRecord<J, T>) -> Option<Lane> {
        let at = self.insert(record, Standing::BehindKey);
        self.enter(at)
    }

    /// Lets a job wait until this time.
    pub(super) fn delay(&mut self, record: JobRecord<J, T>, due: Instant) {
        let number = record.id.number();
        let at = self.insert(record, Standing::Delayed);
        self.times.insert(at, due, number);
    }

    /// Puts a job of a claim back at the front of its lane.
    pub(super) fn put_back(&mut self, record: JobRecord<J, T>, cell: &ClaimCell<J, T>) -> Lane {
        let at = self.insert(record, Standing::BehindKey);
        self.note_deadline(at);
        self.lanes.push_front(&mut self.jobs, at, cell)
    }

    fn insert(&mut self, mut record: JobRecord<J, T>, standing: Standing) -> SlabIndex {
        record.level = record.level.min((self.queued.len() - 1) as u8);
        let age = (Reverse(record.level), record.id);
        *self.count(record.level, standing) += 1;
        let at = self.jobs.insert(WaitingJob { record, standing });
        if let Some(ages) = &mut self.ages {
            ages.insert(age, at);
        }
        at
    }

    /// Lets a job that is in the slab wait for a worker, or for its key.
    fn enter(&mut self, at: SlabIndex) -> Option<Lane> {
        self.note_deadline(at);
        let key = self.jobs.get(at)?.record.key_to_enter();
        let entered = key.map(|key| self.keys.enter(&key, &mut self.jobs, at));
        let job = self.jobs.get_mut(at)?;
        match entered {
            None => {}
            Some(Entered::Head(slot)) => job.record.set_key_slot(Some(slot)),
            Some(Entered::Waits(slot)) => {
                job.record.set_key_slot(Some(slot));
                job.standing = Standing::BehindKey;
                return None;
            }
        }
        Some(self.line_up(at))
    }

    fn line_up(&mut self, at: SlabIndex) -> Lane {
        self.became_ready += 1;
        self.lanes.push_back(&mut self.jobs, at)
    }

    fn note_deadline(&mut self, at: SlabIndex) {
        let Some(record) = self.jobs.get(at).map(|job| &job.record).filter(|record| record.attempts == 0) else {
            return;
        };
        let deadline = record.deadline(self.deadline).and_then(|deadline| record.accepted.checked_add(deadline));
        if let Some(deadline) = deadline {
            self.times.insert(at, deadline, record.id.number());
        }
    }

    /// The counter of those that stand there.
    fn count(&mut self, level: u8, standing: Standing) -> &mut usize {
        match standing {
            Standing::Delayed => &mut self.delayed,
            Standing::Lane(_) | Standing::BehindKey => &mut self.queued[usize::from(level)],
        }
    }

    // ---- jobs that go out ----

    /// Takes the next job for this worker.
    #[inline]
    pub(super) fn pop(&mut self, cell: &ClaimCell<J, T>, may_steal: bool) -> Option<JobRecord<J, T>> {
        let at = self.lanes.pop(&mut self.jobs, cell, may_steal)?;
        self.take(at)
    }

    /// Takes the oldest job of the least urgent level that has any, wherever it stands. None if the queue drops no oldest.
    pub(super) fn remove_oldest(&mut self) -> Option<JobRecord<J, T>> {
        let at = *self.ages.as_ref()?.first_key_value()?.1;
        self.remove(at)
    }

    /// The head of this key has left the pool: the next one waits for a worker, in the lane that is returned.
    pub(super) fn leave_key(&mut self, slot: KeySlot) -> Option<Lane> {
        let next = self.keys.leave(slot, &mut self.jobs)?;
        Some(self.line_up(next))
    }

    /// Takes all jobs, in the order of acceptance. The keys of the heads are to be left.
    pub(super) fn take_all(&mut self) -> Vec<JobRecord<J, T>> {
        self.lanes.clear();
        self.keys.clear_waiting();
        self.times.clear();
        self.ages.iter_mut().for_each(BTreeMap::clear);
        (self.delayed, self.queued) = (0, vec![0; self.queued.len()].into_boxed_slice());
        let mut all: Vec<_> = self.jobs.take_all().map(WaitingJob::into_record).collect();
        all.sort_unstable_by_key(|record| record.id);
        all
    }

    /// Removes a job from where it stands.
    fn remove(&mut self, at: SlabIndex) -> Option<JobRecord<J, T>> {
        let job = self.jobs.get(at)?;
        match (job.standing, job.record.key_slot()) {
            (Standing::Lane(lane), _) => self.lanes.remove(&mut self.jobs, at, lane),
            (Standing::BehindKey, Some(slot)) => self.keys.remove(slot, &mut self.jobs, at),
            (Standing::BehindKey | Standing::Delayed, _) => {}
        }
        self.take(at)
    }

    /// Takes a job that stands nowhere any more.
    fn take(&mut self, at: SlabIndex) -> Option<JobRecord<J, T>> {
        let job = self.jobs.take(at)?;
        self.times.remove(at);
        *self.count(job.record.level, job.standing) -= 1;
        if let Some(ages) = &mut self.ages {
            ages.remove(&(Reverse(job.record.level), job.record.id));
        }
        Some(job.into_record())
    }

    // ---- time ----

    /// The next time at which something happens to a job.
    pub(super) fn next_time(&self) -> Option<Instant> {
        self.times.next()
    }

    /// What has happened to the next job whose time has come, if any has.
    pub(super) fn pass_time(&mut self, now: Instant) -> Option<TimePassed<J, T>> {
        let at = self.times.pop(now)?;
        let job = self.jobs.get(at)?;
        if job.standing != Standing::Delayed {
            let waited = now.saturating_duration_since(job.record.accepted);
            return Some(TimePassed::Expired(self.remove(at)?, waited));
        }
        let level = job.record.level;
        *self.count(level, Standing::Delayed) -= 1;
        *self.count(level, Standing::BehindKey) += 1;
        Some(self.enter(at).map_or(TimePassed::Waits, TimePassed::Ready))
    }

    // ---- workers ----

    /// A worker has come. Returns how many jobs are for all workers now, as those below.
    pub(super) fn worker_came(&mut self, cell: &Arc<ClaimCell<J, T>>) -> usize {
        self.lanes.worker_came(&mut self.jobs, cell)
    }

    pub(super) fn worker_went(&mut self, cell: &ClaimCell<J, T>) -> usize {
        self.lanes.worker_went(&mut self.jobs, cell)
    }

    pub(super) fn set_open(&mut self, slot: usize, is_open: bool) -> usize {
        self.lanes.set_open(&mut self.jobs, slot, is_open)
    }

    pub(super) fn set_routing(&mut self, routing: Routing) {
        self.lanes.set_routing(&mut self.jobs, routing);
    }

    pub(super) fn routing(&self) -> Routing {
        self.lanes.routing()
    }

    /// What measures the jobs of a worker, if the routing looks at that.
    pub(super) fn timer(&self, cell: &ClaimCell<J, T>) -> Option<JobTimer> {
        self.lanes.timer(cell)
    }

    /// Whether the worker of this slot would find a job.
    pub(super) fn has_for(&self, slot: usize) -> bool {
        self.lanes.has_for(slot)
    }

    // ---- figures ----

    /// How many jobs wait, wherever they do.
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// How many jobs wait for a worker.
    pub(super) fn ready(&self) -> usize {
        self.lanes.len()
    }

    /// How often a job has become ready.
    pub(super) fn became_ready(&self) -> u64 {
        self.became_ready
    }

    pub(super) fn delayed(&self) -> usize {
        self.delayed
    }

    /// How many wait for a worker or for their key.
    pub(super) fn queued(&self) -> usize {
        self.jobs.len() - self.delayed
    }

    /// The same of each level.
    pub(super) fn queued_by_priority(&self) -> Vec<usize> {
        self.queued.to_vec()
    }

    /// When the job was accepted that is at the front of its level and has waited the longest.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.lanes.fronts().filter_map(|at| Some(self.jobs.get(at)?.record.accepted)).min()
    }
}

impl<J, T> WaitingJob<J, T> {
    /// The job without its place: one behind its head is not the head.
    fn into_record(self) -> JobRecord<J, T> {
        let mut record = self.record;
        if self.standing == Standing::BehindKey {
            record.set_key_slot(None);
        }
        record
    }
}
