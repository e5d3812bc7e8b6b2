//! Where jobs wait for a worker: in the shared lane, or in the inbox of one worker.
//!
//! 1. A job is in one lane. An inbox that is closed has none.
//! 2. A slot has an inbox from when its worker comes until it goes; a job goes to open ones only.
//! 3. Jobs of an inbox that closes, ends, or has lost its routing go to the shared lane, in the order of acceptance.
//! 4. A worker takes from its inbox and from the shared lane in turns, and from another inbox only if both are empty.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::claim_cell::ClaimCell;
use super::priorities::Priorities;
use crate::job::record::JobRecord;
use crate::routing::{JobTimer, Router, Routing};

/// The lanes of a queue. With shared routing all jobs are in the shared one, at the cost of a comparison.
pub(super) struct Lanes<J, T> {
    shared: Priorities<JobRecord<J, T>>,
    /// By the number of the slot.
    inboxes: Vec<Option<Inbox<J, T>>>,
    /// How many jobs are in inboxes.
    routed: usize,
    router: Router,
}

/// The jobs for one worker.
struct Inbox<J, T> {
    cell: Arc<ClaimCell<J, T>>,
    jobs: Priorities<JobRecord<J, T>>,
    is_open: bool,
    /// Whether the shared lane has the next turn, if both have jobs.
    shared_next: bool,
}

impl<J, T> Lanes<J, T> {
    pub(super) fn new(shared: Priorities<JobRecord<J, T>>, router: Router) -> Self {
        Self { shared, inboxes: Vec::new(), routed: 0, router }
    }

    pub(super) fn len(&self) -> usize {
        self.shared.len() + self.routed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn routing(&self) -> Routing {
        self.router.routing()
    }

    // ---- jobs that come in ----

    /// Adds a job at the end of the lane to which it is routed, and returns the slot of that.
    #[inline]
    pub(super) fn push_back(&mut self, record: JobRecord<J, T>) -> Option<usize> {
        let slot = if self.router.routing().is_shared() { None } else { self.route(&record) };
        match slot.and_then(|slot| self.inboxes.get_mut(slot)?.as_mut()) {
            Some(inbox) => {
                inbox.jobs.push_back(record.level.into(), record);
                self.routed += 1;
                slot
            }
            None => {
                self.shared.push_back(record.level.into(), record);
                None
            }
        }
    }

    fn route(&mut self, record: &JobRecord<J, T>) -> Option<usize> {
        let inboxes = &self.inboxes;
        let held = |slot: usize| match inboxes.get(slot) {
            Some(Some(inbox)) => inbox.jobs.len() + inbox.cell.held(),
            _ => 0,
        };
        self.router.route(record.label(), held, Instant::now)
    }

    /// Puts a job of a claim back at the front: of the worker's inbox, or of the shared lane if that is closed or has ended.
    pub(super) fn push_front(&mut self, record: JobRecord<J, T>, cell: &ClaimCell<J, T>) -> Option<usize> {
        let is_shared = self.router.routing().is_shared();
        match self.inbox_of(cell).filter(|inbox| !is_shared && inbox.is_open) {
            Some(inbox) => {
                inbox.jobs.push_front(record.level.into(), record);
                self.routed += 1;
                Some(cell.slot)
            }
            None => {
                self.shared.push_front(record.level.into(), record);
                None
            }
        }
    }

    // ---- jobs that go out ----

    /// Takes the next job for this worker.
    #[inline]
    pub(super) fn pop(
        &mut self,
        cell: &ClaimCell<J, T>,
        may_steal: bool,
        waited: impl Fn(&JobRecord<J, T>) -> Duration,
    ) -> Option<JobRecord<J, T>> {
        if self.routed == 0 { self.shared.pop(waited) } else { self.pop_routed(cell, may_steal, waited) }
    }

    fn pop_routed(
        &mut self,
        cell: &ClaimCell<J, T>,
        may_steal: bool,
        waited: impl Fn(&JobRecord<J, T>) -> Duration,
    ) -> Option<JobRecord<J, T>> {
        let has_shared = !self.shared.is_empty();
        let own = self.inbox_of(cell).filter(|inbox| !inbox.jobs.is_empty());
        let from_inbox = own.is_some_and(|inbox| {
            let shared_first = has_shared && inbox.shared_next;
            inbox.shared_next = has_shared && !inbox.shared_next;
            !shared_first
        });
        let slot = match (from_inbox, has_shared) {
            (true, _) => cell.slot,
            (false, true) => return self.shared.pop(waited),
            (false, false) if may_steal && !self.routing().is_pinned() => self.longest()?,
            (false, false) => return None,
        };
        let popped = self.inboxes.get_mut(slot)?.as_mut()?.jobs.pop(waited)?;
        self.routed -= 1;
        Some(popped)
    }

    /// The slot of the longest inbox.
    fn longest(&self) -> Option<usize> {
        let lens = self.inboxes.iter().map(|inbox| inbox.as_ref().map_or(0, |inbox| inbox.jobs.len()));
        lens.enumerate().max_by_key(|(_, len)| *len).map(|(slot, _)| slot)
    }

    /// Whether the worker of this slot would find a job.
    pub(super) fn has_for(&self, slot: usize) -> bool {
        let own = || self.inboxes.get(slot).and_then(Option::as_ref).is_some_and(|inbox| !inbox.jobs.is_empty());
        match self.routing().is_pinned() {
            true => !self.shared.is_empty() || own(),
            false => !self.is_empty(),
        }
    }

    /// Takes a job at the front of its level that is like this.
    pub(super) fn pop_front_if(&mut self, is: impl Fn(&JobRecord<J, T>) -> bool) -> Option<JobRecord<J, T>> {
        let shared = self.shared.pop_front_if(&is);
        if shared.is_some() || self.routed == 0 {
            return shared;
        }
        let record = self.inboxes.iter_mut().flatten().find_map(|inbox| inbox.jobs.pop_front_if(&is))?;
        self.routed -= 1;
        Some(record)
    }

    /// Takes the job that was accepted first, of those at the front of the least urgent level that has any.
    pub(super) fn pop_least_urgent(&mut self) -> Option<JobRecord<J, T>> {
        if self.routed == 0 {
            return self.shared.pop_least_urgent();
        }
        let inboxes = self.inboxes.iter_mut().flatten().map(|inbox| &mut inbox.jobs);
        let lanes = inboxes.chain([&mut self.shared]).filter(|lane| !lane.is_empty());
        let rank = |lane: &&mut Priorities<JobRecord<J, T>>| {
            lane.least_urgent().map(|(level, record)| (level, std::cmp::Reverse(record.id)))
        };
        let record = lanes.max_by_key(rank)?.pop_least_urgent()?;
        self.routed = self.inboxes.iter().flatten().map(|inbox| inbox.jobs.len()).sum();
        Some(record)
    }

    /// Takes all jobs.
    pub(super) fn drain(&mut self) -> Vec<JobRecord<J, T>> {
        let mut all: Vec<_> = self.shared.drain().collect();
        for inbox in self.inboxes.iter_mut().flatten() {
            all.extend(inbox.jobs.drain());
        }
        self.routed = 0;
        all
    }

    // ---- inboxes ----

    /// A worker has come. It takes the place of an earlier one on its slot that has not gone yet: returns how many jobs of
    /// that one are for all workers now.
    pub(super) fn worker_came(&mut self, cell: &Arc<ClaimCell<J, T>>) -> usize {
        let slot = cell.slot;
        self.inboxes.resize_with(self.inboxes.len().max(slot + 1), || None);
        let jobs = self.shared.like();
        let inbox = Inbox { cell: Arc::clone(cell), jobs, is_open: true, shared_next: false };
        let earlier = self.inboxes[slot].replace(inbox);
        self.router.open(slot, Instant::now());
        self.share_routed(jobs_of(earlier))
    }

    /// A worker has gone: its jobs are for the others. Returns how many those are.
    pub(super) fn worker_went(&mut self, cell: &ClaimCell<J, T>) -> usize {
        if self.inbox_of(cell).is_none() {
            return 0;
        }
        let inbox = self.inboxes[cell.slot].take();
        self.router.close(cell.slot);
        self.share_routed(jobs_of(inbox))
    }

    /// Opens or closes an inbox. Returns how many jobs are for the other workers now.
    pub(super) fn set_open(&mut self, slot: usize, is_open: bool) -> usize {
        let Some(Some(inbox)) = self.inboxes.get_mut(slot) else { return 0 };
        if inbox.is_open == is_open {
            return 0;
        }
        inbox.is_open = is_open;
        if is_open {
            self.router.open(slot, Instant::now());
            return 0;
        }
        let jobs = inbox.jobs.drain().collect();
        self.router.close(slot);
        self.share_routed(jobs)
    }

    /// Routes jobs like this from now on. Those in inboxes are for all workers.
    pub(super) fn set_routing(&mut self, routing: Routing) {
        self.router.set_routing(routing);
        let jobs = self.inboxes.iter_mut().flatten().flat_map(|inbox| inbox.jobs.drain()).collect();
        self.share_routed(jobs);
    }

    /// What measures the jobs of a worker, if the routing looks at that.
    pub(super) fn timer(&self, cell: &ClaimCell<J, T>) -> Option<JobTimer> {
        if self.routing().needs_times() { self.router.timer(cell.slot) } else { None }
    }

    fn share_routed(&mut self, jobs: Vec<JobRecord<J, T>>) -> usize {
        let count = jobs.len();
        self.routed -= count;
        self.share(jobs);
        count
    }

    /// Merges jobs of inboxes into the shared lane, in the order of acceptance.
    fn share(&mut self, jobs: Vec<JobRecord<J, T>>) {
        if jobs.is_empty() {
            return;
        }
        let mut all: Vec<_> = self.shared.drain().chain(jobs).collect();
        all.sort_by_key(|record| record.id);
        all.into_iter().for_each(|record| self.shared.push_back(record.level.into(), record));
    }

    fn inbox_of(&mut self, cell: &ClaimCell<J, T>) -> Option<&mut Inbox<J, T>> {
        let inbox = self.inboxes.get_mut(cell.slot)?.as_mut();
        inbox.filter(|inbox| std::ptr::eq(&*inbox.cell, cell))
    }

    // ---- figures ----

    /// How many wait at each level.
    pub(super) fn lens(&self) -> Vec<usize> {
        let mut lens: Vec<_> = self.shared.lens().collect();
        for inbox in self.inboxes.iter().flatten() {
            lens.iter_mut().zip(inbox.jobs.lens()).for_each(|(all, len)| *all += len);
        }
        lens
    }

    /// The first job of each level of each lane.
    pub(super) fn fronts(&self) -> impl Iterator<Item = &JobRecord<J, T>> {
        self.shared.fronts().chain(self.inboxes.iter().flatten().flat_map(|inbox| inbox.jobs.fronts()))
    }
}

fn jobs_of<J, T>(inbox: Option<Inbox<J, T>>) -> Vec<JobRecord<J, T>> {
    inbox.map_or_else(Vec::new, |mut inbox| inbox.jobs.drain().collect())
}
