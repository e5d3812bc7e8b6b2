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
use crate::slab::{Slab, SlabIndex};

/// A job that waits, and where.
pub(super) struct WaitingJob<J, T> {
    pub(super) record: JobRecord<J, T>,
    pub(super) standing: Standing,
}

/// Where a job waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// For a worker.
    Lane(Lane),
    /// For another job of its key.
    BehindKey,
    /// For its time.
    Delayed,
}

/// Where a job waits for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Shared,
    /// The inbox of the worker on this slot.
    Inbox(u32),
}

/// The jobs that wait, wherever they do.
pub(super) type JobSlab<J, T> = Slab<WaitingJob<J, T>>;

/// The lanes of a queue. With shared routing all jobs are in the shared one, at the cost of a comparison. The jobs are in a
/// slab, which is the same for each call; the lanes note there in which of them a job is.
pub(super) struct Lanes<J, T> {
    shared: Priorities,
    /// By the number of the slot.
    inboxes: Vec<Option<Inbox<J, T>>>,
    /// How many jobs are in inboxes.
    routed: usize,
    router: Router,
}

/// The jobs for one worker.
struct Inbox<J, T> {
    cell: Arc<ClaimCell<J, T>>,
    jobs: Priorities,
    is_open: bool,
    /// Whether the shared lane has the next turn, if both have jobs.
    shared_next: bool,
}

impl<J, T> Lanes<J, T> {
    pub(super) fn new(shared: Priorities, router: Router) -> Self {
        Self { shared, inboxes: Vec::new(), routed: 0, router }
    }

    pub(super) fn len(&self) -> usize {
        self.shared.len() + self.routed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many levels of priority there are.
    pub(super) fn levels(&self) -> usize {
        self.shared.levels()
    }

    pub(super) fn routing(&self) -> Routing {
        self.router.routing()
    }

    // ---- jobs that come in ----

    /// Adds a job at the end of the lane to which it is routed, and returns that.
    #[inline]
    pub(super) fn push_back(&mut self, jobs: &mut JobSlab<J, T>, at: SlabIndex) -> Lane {
        let Some(job) = jobs.get(at) else { return Lane::Shared };
        let level = usize::from(job.record.level);
        let slot = if self.router.routing().is_shared() { None } else { self.route(&job.record) };
        match slot.and_then(|slot| self.inboxes.get_mut(slot)?.as_mut()) {
            Some(inbox) => {
                inbox.jobs.push_back(jobs, level, at);
                self.routed += 1;
                stand(jobs, at, Lane::of(slot))
            }
            None => {
                self.shared.push_back(jobs, level, at);
                stand(jobs, at, Lane::Shared)
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
    pub(super) fn push_front(&mut self, jobs: &mut JobSlab<J, T>, at: SlabIndex, cell: &ClaimCell<J, T>) -> Lane {
        let level = jobs.get(at).map_or(0, |job| usize::from(job.record.level));
        let is_shared = self.router.routing().is_shared();
        match self.inbox_of(cell).filter(|inbox| !is_shared && inbox.is_open) {
            Some(inbox) => {
                inbox.jobs.push_front(jobs, level, at);
                self.routed += 1;
                stand(jobs, at, Lane::of(Some(cell.slot)))
            }
            None => {
                self.shared.push_front(jobs, level, at);
                stand(jobs, at, Lane::Shared)
            }
        }
    }

    // ---- jobs that go out ----

    /// Takes the next job for this worker.
    #[inline]
    pub(super) fn pop(
        &mut self,
        jobs: &mut JobSlab<J, T>,
        cell: &ClaimCell<J, T>,
        may_steal: bool,
    ) -> Option<SlabIndex> {
        if self.routed == 0 { self.shared.pop(jobs, waited) } else { self.pop_routed(jobs, cell, may_steal) }
    }

    fn pop_routed(&mut self, jobs: &mut JobSlab<J, T>, cell: &ClaimCell<J, T>, may_steal: bool) -> Option<SlabIndex> {
        let has_shared = !self.shared.is_empty();
        let own = self.inbox_of(cell).filter(|inbox| !inbox.jobs.is_empty());
        let from_inbox = own.is_some_and(|inbox| {
            let shared_first = has_shared && inbox.shared_next;
            inbox.shared_next = has_shared && !inbox.shared_next;
            !shared_first
        });
        let slot = match (from_inbox, has_shared) {
            (true, _) => cell.slot,
            (false, true) => return self.shared.pop(jobs, waited),
            (false, false) if may_steal && !self.routing().is_pinned() => self.longest()?,
            (false, false) => return None,
        };
        let popped = self.inboxes.get_mut(slot)?.as_mut()?.jobs.pop(jobs, waited)?;
        self.routed -= 1;
        Some(popped)
    }

    /// The slot of the longest inbox.
    fn longest(&self) -> Option<usize> {
        self.inbox_lens().enumerate().max_by_key(|(_, len)| *len).map(|(slot, _)| slot)
    }

    /// How many jobs wait in the inbox of each slot, by its number.
    pub(super) fn inboxes(&self) -> Vec<usize> {
        self.inbox_lens().collect()
    }

    fn inbox_lens(&self) -> impl Iterator<Item = usize> {
        self.inboxes.iter().map(|inbox| inbox.as_ref().map_or(0, |inbox| inbox.jobs.len()))
    }

    /// Whether the worker of this slot would find a job.
    pub(super) fn has_for(&self, slot: usize) -> bool {
        let own = || self.inboxes.get(slot).and_then(Option::as_ref).is_some_and(|inbox| !inbox.jobs.is_empty());
        match self.routing().is_pinned() {
            true => !self.shared.is_empty() || own(),
            false => !self.is_empty(),
        }
    }

    /// Removes a job of this lane, wherever it stands in that.
    pub(super) fn remove(&mut self, jobs: &mut JobSlab<J, T>, at: SlabIndex, lane: Lane) {
        let level = jobs.get(at).map_or(0, |job| usize::from(job.record.level));
        let slot = match lane {
            Lane::Shared => return self.shared.remove(jobs, level, at),
            Lane::Inbox(slot) => slot as usize,
        };
        if let Some(Some(inbox)) = self.inboxes.get_mut(slot) {
            inbox.jobs.remove(jobs, level, at);
            self.routed -= 1;
        }
    }

    /// Forgets all jobs.
    pub(super) fn clear(&mut self) {
        self.shared = self.shared.like();
        for inbox in self.inboxes.iter_mut().flatten() {
            inbox.jobs = inbox.jobs.like();
        }
        self.routed = 0;
    }

    // ---- inboxes ----

    /// A worker has come. It takes the place of an earlier one on its slot that has not gone yet: returns how many jobs of
    /// that one are for all workers now.
    pub(super) fn worker_came(&mut self, jobs: &mut JobSlab<J, T>, cell: &Arc<ClaimCell<J, T>>) -> usize {
        let slot = cell.slot;
        self.inboxes.resize_with(self.inboxes.len().max(slot + 1), || None);
        let empty = self.shared.like();
        let inbox = Inbox { cell: Arc::clone(cell), jobs: empty, is_open: true, shared_next: false };
        let earlier = self.inboxes[slot].replace(inbox);
        self.router.open(slot, Instant::now());
        self.share_routed(jobs, earlier.map(|mut inbox| inbox.jobs.drain(jobs)).unwrap_or_default())
    }

    /// A worker has gone: its jobs are for the others. Returns how many those are.
    pub(super) fn worker_went(&mut self, jobs: &mut JobSlab<J, T>, cell: &ClaimCell<J, T>) -> usize {
        if self.inbox_of(cell).is_none() {
            return 0;
        }
        let inbox = self.inboxes[cell.slot].take();
        self.router.close(cell.slot);
        self.share_routed(jobs, inbox.map(|mut inbox| inbox.jobs.drain(jobs)).unwrap_or_default())
    }

    /// Opens or closes an inbox. Returns how many jobs are for the other workers now.
    pub(super) fn set_open(&mut self, jobs: &mut JobSlab<J, T>, slot: usize, is_open: bool) -> usize {
        let Some(Some(inbox)) = self.inboxes.get_mut(slot) else { return 0 };
        if inbox.is_open == is_open {
            return 0;
        }
        inbox.is_open = is_open;
        if is_open {
            self.router.open(slot, Instant::now());
            return 0;
        }
        let former = inbox.jobs.drain(jobs);
        self.router.close(slot);
        self.share_routed(jobs, former)
    }

    /// Routes jobs like this from now on. Those in inboxes are for all workers.
    pub(super) fn set_routing(&mut self, jobs: &mut JobSlab<J, T>, routing: Routing) {
        self.router.set_routing(routing);
        let former = self.inboxes.iter_mut().flatten().flat_map(|inbox| inbox.jobs.drain(jobs)).collect();
        self.share_routed(jobs, former);
    }

    /// What measures the jobs of a worker, if the routing looks at that.
    pub(super) fn timer(&self, cell: &ClaimCell<J, T>) -> Option<JobTimer> {
        if self.routing().needs_times() { self.router.timer(cell.slot) } else { None }
    }

    /// Merges jobs of inboxes into the shared lane, in the order of acceptance.
    fn share_routed(&mut self, jobs: &mut JobSlab<J, T>, former: Vec<SlabIndex>) -> usize {
        let count = former.len();
        if count == 0 {
            return 0;
        }
        self.routed -= count;
        let mut all = self.shared.drain(jobs);
        all.extend(former);
        all.sort_by_key(|at| jobs.get(*at).map(|job| job.record.id));
        for at in all {
            let level = jobs.get(at).map_or(0, |job| usize::from(job.record.level));
            self.shared.push_back(jobs, level, at);
            stand(jobs, at, Lane::Shared);
        }
        count
    }

    fn inbox_of(&mut self, cell: &ClaimCell<J, T>) -> Option<&mut Inbox<J, T>> {
        let inbox = self.inboxes.get_mut(cell.slot)?.as_mut();
        inbox.filter(|inbox| std::ptr::eq(&*inbox.cell, cell))
    }

    /// The first job of each level of each lane.
    pub(super) fn fronts(&self) -> impl Iterator<Item = SlabIndex> {
        self.shared.fronts().chain(self.inboxes.iter().flatten().flat_map(|inbox| inbox.jobs.fronts()))
    }
}

impl Lane {
    fn of(slot: Option<usize>) -> Self {
        slot.and_then(|slot| u32::try_from(slot).ok()).map_or(Self::Shared, Self::Inbox)
    }
}

/// Notes the lane of a job, and returns it.
fn stand<J, T>(jobs: &mut JobSlab<J, T>, at: SlabIndex, lane: Lane) -> Lane {
    if let Some(job) = jobs.get_mut(at) {
        job.standing = Standing::Lane(lane);
    }
    lane
}

fn waited<J, T>(job: &WaitingJob<J, T>) -> Duration {
    job.record.accepted.elapsed()
}
