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
use super::keys::{Entered, Keys};
use super::lanes::{JobSlab, Lane, Lanes, Standing, WaitingJob};
use crate::job::id::JobId;
use crate::job::key::{JobKey, KeySlot};
use crate::job::record::JobRecord;
use crate::overflow::WhenFull;
use crate::routing::{JobTimer, Routing};
use crate::slab::{Slab, SlabIndex};
use crate::timetable::Timetable;

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

    /// How many jobs wait in the inbox of each slot, by its number.
    pub(super) fn inboxes(&self) -> Vec<usize> {
        self.lanes.inboxes()
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::priorities::Priorities;
    use super::*;
    use crate::job::record::JobOptions;
    use crate::routing::Router;

    const SECOND: Duration = Duration::from_secs(1);
    const LEVELS: u8 = 3;
    const SLOTS: usize = 3;
    const ROUTINGS: [Routing; 4] =
        [Routing::shared(), Routing::least_in_flight(), Routing::round_robin().pinned(), Routing::affinity()];

    type Record = JobRecord<u64, ()>;

    /// Jobs that wait, and those that were claimed of them.
    struct Pool {
        waiting: WaitingJobs<u64, ()>,
        cells: Vec<Arc<ClaimCell<u64, ()>>>,
        claimed: Vec<(usize, Record)>,
        accepted: u64,
        ended: BTreeSet<u64>,
        now: Instant,
    }

    fn waiting_jobs(routing: Routing) -> WaitingJobs<u64, ()> {
        let lanes = Lanes::new(Priorities::new(&[3, 2, 1], None), Router::new(routing, Vec::new(), 7));
        WaitingJobs::new(lanes, WhenFull::DropOldest, None)
    }

    fn record(number: u64, level: u8, accepted: Instant, options: JobOptions) -> Record {
        let (id, options) = (JobId::new(number), Some(Box::new(options)));
        JobRecord { id, attempts: 0, level, accepted, job: number, reply: None, options }
    }

    impl Pool {
        fn new() -> Self {
            let mut waiting = waiting_jobs(Routing::shared());
            let cells: Vec<_> = (1..=SLOTS).map(|slot| Arc::new(ClaimCell::new(slot))).collect();
            for cell in &cells {
                waiting.worker_came(cell);
            }
            let (claimed, ended) = Default::default();
            Self { waiting, cells, claimed, accepted: 0, ended, now: Instant::now() }
        }

        fn put(&mut self, level: u8, key: Option<u8>, deadline: Option<u64>, delay: Option<u64>) {
            self.accepted += 1;
            let options = JobOptions {
                key: key.and_then(|key| JobKey::new(&key.to_string()).ok()),
                deadline: deadline.map(Duration::from_secs),
                delay: delay.map(Duration::from_secs),
                ..JobOptions::default()
            };
            let record = record(self.accepted, level, self.now, options);
            match delay {
                Some(delay) => self.waiting.delay(record, self.now + Duration::from_secs(delay)),
                None => {
                    self.waiting.add(record);
                }
            }
        }

        fn end(&mut self, record: &Record) {
            assert!(self.ended.insert(record.id.number()), "{} ends twice", record.id);
            if let Some(slot) = record.key_slot() {
                self.waiting.leave_key(slot);
            }
        }

        fn claim(&mut self, worker: usize) {
            let Some(mut record) = self.waiting.pop(&self.cells[worker], true) else { return };
            record.attempts += 1;
            self.claimed.push((worker, record));
        }

        fn pass(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
            while let Some(passed) = self.waiting.pass_time(self.now) {
                if let TimePassed::Expired(record, waited) = passed {
                    let deadline = record.deadline(None).unwrap();
                    assert!(record.attempts == 0 && waited >= deadline && waited < deadline + 6 * SECOND);
                    self.end(&record);
                }
            }
            assert!(self.waiting.next_time().is_none_or(|next| next > self.now));
        }

        fn drop_oldest(&mut self) {
            let rank = |job: &WaitingJob<u64, ()>| (Reverse(job.record.level), job.record.id);
            let all = self.waiting.ages.as_ref().unwrap().values();
            let oldest = all.filter_map(|at| self.waiting.jobs.get(*at)).map(rank).min();
            let removed = self.waiting.remove_oldest();
            assert_eq!(removed.as_ref().map(|record| (Reverse(record.level), record.id)), oldest);
            removed.iter().for_each(|record| self.end(record));
        }

        /// Each job is in one place, each is counted once, and of a key one job at most is claimed.
        fn check(&self) {
            let outside = self.claimed.len() + self.ended.len();
            assert_eq!(self.waiting.len() + outside, self.accepted as usize);
            let queued = self.waiting.queued_by_priority();
            assert_eq!(queued.iter().sum::<usize>() + self.waiting.delayed(), self.waiting.len());
            assert_eq!(self.waiting.queued(), queued.iter().sum::<usize>());
            assert!(self.waiting.ready() <= self.waiting.queued());
            assert_eq!(self.waiting.ages.as_ref().unwrap().len(), self.waiting.len());
            let keys: Vec<_> = self.claimed.iter().filter_map(|(_, record)| record.key_slot()).collect();
            assert_eq!(keys.iter().collect::<std::collections::HashSet<_>>().len(), keys.len());
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Put(u8, Option<u8>, Option<u64>, Option<u64>),
        Claim(usize),
        Finish(usize),
        PutBack(usize),
        Retry(usize, u64),
        Pass(u64),
        DropOldest,
        Route(Routing),
        Open(usize, bool),
        Replace(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        use proptest::option::of;
        let chosen = || 0..20_usize;
        let step = prop_oneof![
            8 => (0..5_u8, of(0..4_u8), of(1..6_u64), of(1..6_u64)).prop_map(|(level, key, deadline, delay)| Step::Put(level, key, deadline, delay)),
            5 => (0..SLOTS).prop_map(Step::Claim),
            3 => chosen().prop_map(Step::Finish),
            1 => chosen().prop_map(Step::PutBack),
            2 => (chosen(), 0..5_u64).prop_map(|(at, delay)| Step::Retry(at, delay)),
            2 => (0..5_u64).prop_map(Step::Pass),
            1 => Just(Step::DropOldest),
            1 => select(&ROUTINGS[..]).prop_map(Step::Route),
            1 => (1..=SLOTS, any::<bool>()).prop_map(|(slot, open)| Step::Open(slot, open)),
            1 => (0..SLOTS).prop_map(Step::Replace),
        ];
        proptest::collection::vec(step, 0..300)
    }

    fn take(pool: &mut Pool, step: Step) {
        match step {
            Step::Put(level, key, deadline, delay) => pool.put(level, key, deadline, delay),
            Step::Claim(worker) => pool.claim(worker),
            Step::Finish(at) if at < pool.claimed.len() => {
                let (_, record) = pool.claimed.swap_remove(at);
                pool.end(&record);
            }
            Step::PutBack(at) if at < pool.claimed.len() => {
                let (worker, record) = pool.claimed.swap_remove(at);
                pool.waiting.put_back(record, &pool.cells[worker]);
            }
            Step::Retry(at, delay) if at < pool.claimed.len() => {
                let (_, record) = pool.claimed.swap_remove(at);
                match delay {
                    0 => {
                        pool.waiting.add(record);
                    }
                    _ => pool.waiting.delay(record, pool.now + Duration::from_secs(delay)),
                }
            }
            Step::Pass(seconds) => pool.pass(seconds),
            Step::DropOldest => pool.drop_oldest(),
            Step::Route(routing) => pool.waiting.set_routing(routing),
            Step::Open(slot, open) => {
                pool.waiting.set_open(slot, open);
            }
            Step::Replace(worker) => {
                pool.waiting.worker_went(&pool.cells[worker]);
                pool.cells[worker] = Arc::new(ClaimCell::new(worker + 1));
                pool.waiting.worker_came(&pool.cells[worker]);
            }
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn each_job_is_in_one_place_and_counted_once_whatever_happens_and_nothing_is_left(steps in steps()) {
            let mut pool = Pool::new();
            for step in steps {
                take(&mut pool, step);
                pool.check();
            }
            let left = pool.waiting.take_all();
            prop_assert!(left.is_sorted_by_key(|record| record.id));
            left.iter().for_each(|record| pool.end(record));
            for (_, record) in std::mem::take(&mut pool.claimed) {
                pool.end(&record);
            }
            pool.check();
            prop_assert_eq!((pool.waiting.keys.known(), pool.waiting.next_time()), (0, None));
        }

        #[test]
        fn a_lane_gives_the_jobs_of_a_level_in_the_order_in_which_they_came(
            levels in proptest::collection::vec(0..LEVELS, 1..100), routing in select(&ROUTINGS[..3]), claims in 0..100_usize,
        ) {
            let (mut waiting, cell, now) = (waiting_jobs(routing), Arc::new(ClaimCell::new(1)), Instant::now());
            waiting.worker_came(&cell);
            for (number, level) in (1..).zip(&levels) {
                waiting.add(record(number, *level, now, JobOptions::default()));
            }
            let claimed: Vec<_> = (0..claims).map_while(|_| waiting.pop(&cell, true)).collect();
            for record in claimed.into_iter().rev() {
                waiting.put_back(record, &cell);
            }
            let popped: Vec<_> = std::iter::from_fn(|| waiting.pop(&cell, true)).collect();
            prop_assert_eq!(popped.len(), levels.len());
            for level in 0..LEVELS {
                prop_assert!(popped.iter().filter(|record| record.level == level).is_sorted_by_key(|record| record.id));
            }
        }
    }

    #[test]
    fn a_job_that_waits_takes_seventy_two_bytes_beside_itself() {
        let bytes = JobSlab::<u64, ()>::BYTES_EACH - size_of::<u64>();
        assert!(bytes <= 72, "{bytes}");
    }

    #[test]
    fn a_worker_takes_from_its_inbox_and_from_the_shared_lane_in_turns() {
        let (mut waiting, cell, now) = (waiting_jobs(Routing::affinity()), Arc::new(ClaimCell::new(1)), Instant::now());
        waiting.worker_came(&cell);
        for number in 1..=20 {
            let label = JobKey::new("cache").ok().filter(|_| number > 10);
            waiting.add(record(number, 0, now, JobOptions { label, ..JobOptions::default() }));
        }
        let popped: Vec<_> = std::iter::from_fn(|| waiting.pop(&cell, true)).map(|record| record.job > 10).collect();
        assert_eq!(popped, [true, false].repeat(10));
    }
}
