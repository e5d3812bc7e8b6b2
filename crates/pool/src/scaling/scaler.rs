//! The task that gives a pool its size: it reads figures, decides, starts workers and asks workers to end.
//!
//! 1. It never waits for a worker: starts run beside its ticks, and a worker that is to end does so after its job.
//! 2. At most [`start_at_once`](crate::Scaling::start_at_once) workers start at the same time.
//! 3. A worker that fails to start is started again by its supervisor, after its backoff.
//! 4. A scaler that is started again goes on with the slots that there are.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use foundation_kernel::supervision::{ChildError, ChildSpec, DynamicSupervisor, TaskStop};
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::demand::TICK;
use super::plan::SlotFound;
use super::tick::{PoolFigures, StuckChange, Ticks};
use crate::control::Control;
use crate::event::PoolEvent;
use crate::job::id::JobId;
use crate::queue::figures::QueueFigures;
use crate::shared::Shared;
use crate::stats::stuck::{Pace, Progress};
use crate::stats::worker_cells::Phase;
use crate::worker::slot::Slot;
use crate::worker::slots::{RETIRE, SlotState};

/// The description of the worker of a slot.
pub(crate) type WorkerSpec = dyn Fn(Slot) -> ChildSpec + Send + Sync;

type Starting = BoxFuture<'static, (Slot, Result<(), ChildError>)>;

/// The state of the task.
pub(crate) struct Scaler<J, T> {
    shared: Arc<Shared<J, T>>,
    worker: Arc<WorkerSpec>,
    /// The supervisor whose workers are known.
    supervisor: Option<DynamicSupervisor>,
    begun: Instant,
    last_tick: Instant,
    ticks: Ticks,
    /// Slots whose workers run, start or are to start.
    present: BTreeSet<Slot>,
    to_start: VecDeque<Slot>,
    starting: FuturesUnordered<Starting>,
    /// The slots of these two.
    pending: BTreeSet<Slot>,
    /// Jobs that were refused or dropped, as of the tick before.
    turned_away: u64,
    is_full: bool,
}

impl<J, T> Scaler<J, T> {
    pub(crate) fn new(shared: Arc<Shared<J, T>>, worker: Arc<WorkerSpec>) -> Self {
        let now = Instant::now();
        Self {
            shared,
            worker,
            supervisor: None,
            begun: now,
            last_tick: now,
            ticks: Ticks::default(),
            present: BTreeSet::new(),
            to_start: VecDeque::new(),
            starting: FuturesUnordered::new(),
            pending: BTreeSet::new(),
            turned_away: 0,
            is_full: false,
        }
    }

    /// Runs until it is asked to stop.
    pub(crate) async fn run(mut self, stop: TaskStop) {
        let shared = Arc::clone(&self.shared);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.begin_starts();
            tokio::select! {
                () = stop.requested() => return,
                Some((slot, result)) = self.starting.next(), if !self.starting.is_empty() => self.started(slot, result),
                _ = ticks.tick() => self.tick().await,
                () = shared.control.changed.notified() => {
                    self.find_workers().await;
                    // Their numbers are free again.
                    self.remove_ended().await;
                    self.resize();
                }
            }
        }
    }

    /// Finds the workers that there are: those of an earlier scaler, or those that a new supervisor has begun with.
    async fn find_workers(&mut self) {
        let supervisor = self.shared.crew.supervisor();
        let actor = |supervisor: &Option<DynamicSupervisor>| supervisor.as_ref()?.actor().ok().map(|it| it.get_id());
        if actor(&supervisor) == actor(&self.supervisor) {
            return;
        }
        let Some(children) = children(supervisor.clone()).await else { return };
        self.supervisor = supervisor;
        for (slot, _) in self.control().slots.all() {
            if !children.contains(&slot) {
                self.forget(slot);
            }
        }
        (self.present, self.pending) = (children, BTreeSet::new());
        self.to_start.clear();
        self.starting.clear();
    }

    /// The supervisor whose workers are known, if it runs. When it has ended, the slots may be those of its successor, which
    /// the next tick finds: until then nothing is started, and no slot is forgotten.
    fn live_supervisor(&self) -> Option<DynamicSupervisor> {
        self.supervisor.clone().filter(DynamicSupervisor::is_running)
    }

    fn control(&self) -> &Control {
        &self.shared.control
    }

    // ---- ticks ----

    async fn tick(&mut self) {
        self.find_workers().await;
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(self.last_tick);
        self.last_tick = now;
        self.remove_ended().await;
        let slots = self.slots();
        for (slot, state) in &slots {
            let counts = state.cells.counts_now();
            state.cells.set_rates(self.ticks.rates(*slot, counts, elapsed));
        }
        let queue = self.shared.queue.figures();
        self.watch_overflow(&queue);
        let current = slots.iter().filter_map(|(_, state)| state.cells.current()?.lasts).collect();
        let totals = self.control().slots.totals();
        self.ticks.note(&PoolFigures { elapsed, queue: queue.load, paused: queue.paused, totals, current });
        self.watch_stuck(&slots);
        self.resize();
        self.control().ticked(|| self.shared.stats());
    }

    fn slots(&self) -> Vec<(Slot, Arc<SlotState>)> {
        let all = self.control().slots.all().into_iter();
        all.filter(|(slot, _)| self.present.contains(slot)).collect()
    }

    fn found(&self, slots: &[(Slot, Arc<SlotState>)]) -> Vec<SlotFound> {
        let stuck = self.control().settings.rules().stuck;
        let found = |(slot, state): &(Slot, Arc<SlotState>)| {
            let cells = &state.cells;
            let job_for = cells.current().and_then(|current| current.quiet());
            let pace = stuck.judge(Progress { job_for, polled_for: cells.polled_for() });
            let retiring = state.retire.about().is_some();
            let ended = retiring && cells.phase() == Phase::Down;
            SlotFound { slot: *slot, pace, idle_for: cells.idle_for(), retiring, ended }
        };
        slots.iter().map(found).collect()
    }

    /// Removes the slots whose workers have ended for good.
    async fn remove_ended(&mut self) {
        let down = |state: &SlotState| state.cells.phase() == Phase::Down;
        let ended: Vec<_> =
            self.slots().into_iter().filter(|(slot, state)| down(state) && !self.pending.contains(slot)).collect();
        if ended.is_empty() {
            return;
        }
        // One that crashed is still a child: it is started again after its backoff.
        let Some(children) = children(self.supervisor.clone()).await else { return };
        for (slot, _) in ended.into_iter().filter(|(slot, _)| !children.contains(slot)) {
            self.forget(slot);
            self.control().events.emit(PoolEvent::WorkerEnded { slot });
        }
    }

    fn forget(&mut self, slot: Slot) {
        self.present.remove(&slot);
        self.ticks.forget(slot);
        self.control().slots.remove(slot);
    }

    // ---- stuck workers ----

    fn watch_stuck(&mut self, slots: &[(Slot, Arc<SlotState>)]) {
        let found = self.found(slots);
        for change in self.ticks.stuck(&found) {
            let event = match change {
                StuckChange::Ended { slot } => Some(PoolEvent::WorkerRecovered { slot }),
                StuckChange::Began { slot, blocking } => stuck_event(slots, slot, blocking),
            };
            event.into_iter().for_each(|event| self.control().events.emit(event));
        }
        let overdue = found.iter().filter(|it| matches!(it.pace, Pace::Overdue(_))).map(|it| it.slot);
        for slot in overdue {
            let state = self.control().slots.slot(slot);
            let Some(job) = state.cells.current().map(|current| current.job) else { continue };
            if state.abandon.about() != Some(job) {
                state.abandon.give(job);
                self.control().events.emit(PoolEvent::WorkerReplaced { slot });
            }
        }
    }

    /// Notes whether jobs found no room since the tick before, or wait for some.
    fn watch_overflow(&mut self, queue: &QueueFigures) {
        let turned_away = queue.accounts.full + queue.accounts.dropped;
        let is_full = turned_away > self.turned_away || queue.senders > 0;
        self.turned_away = turned_away;
        if is_full != std::mem::replace(&mut self.is_full, is_full) {
            self.control().events.emit(if is_full { PoolEvent::OverflowBegan } else { PoolEvent::OverflowEnded });
        }
    }

    // ---- the size ----

    fn resize(&mut self) {
        // The workers of a queue that is closed end; a pool that is started again has others.
        if self.live_supervisor().is_none() || self.shared.queue.is_closed() {
            return;
        }
        let found = self.found(&self.slots());
        let (rules, now) = (self.control().settings.rules(), self.begun.elapsed());
        let (size, plan) = self.ticks.size(&found, &rules, now);
        let from = self.control().set_wanted(size);
        if from != size {
            self.control().events.emit(PoolEvent::Resized { from, to: size });
        }
        for slot in &plan.retire {
            self.retire(*slot);
        }
        plan.keep.iter().for_each(|slot| self.control().slots.slot(*slot).retire.take_back());
        self.open_usable();
        for slot in plan.start {
            // It is there from now on, so that the next plan does not start it again.
            self.control().slots.slot(slot);
            self.present.insert(slot);
            self.pending.insert(slot);
            self.to_start.push_back(slot);
        }
    }

    /// Workers that are to end, or that block their thread, get no jobs of their own.
    fn open_usable(&self) {
        let found = self.found(&self.slots());
        self.shared.queue.set_open(found.iter().map(|found| (found.slot.number(), found.is_usable())));
    }

    fn retire(&mut self, slot: Slot) {
        match self.to_start.iter().position(|it| *it == slot) {
            Some(at) => {
                self.to_start.remove(at);
                self.pending.remove(&slot);
                self.forget(slot);
            }
            None => self.control().slots.slot(slot).retire.give(RETIRE),
        }
    }

    // ---- starts ----

    fn begin_starts(&mut self) {
        let Some(supervisor) = self.live_supervisor() else { return };
        let at_once = self.control().settings.rules().scaling.start_at_once;
        while self.starting.len() < at_once
            && let Some(slot) = self.to_start.pop_front()
        {
            let (supervisor, spec) = (supervisor.clone(), (self.worker)(slot));
            let start = async move { (slot, supervisor.start_child(spec).await.map(drop)) };
            self.starting.push(start.boxed());
        }
    }

    /// The supervisor has the worker from now on, also if it has failed to start.
    fn started(&mut self, slot: Slot, result: Result<(), ChildError>) {
        self.pending.remove(&slot);
        if result.is_err() && self.live_supervisor().is_some() {
            // The next tick plans it anew.
            self.forget(slot);
        }
    }
}

/// The slots whose workers are children of the supervisor: they run, or wait for their restart.
async fn children(supervisor: Option<DynamicSupervisor>) -> Option<BTreeSet<Slot>> {
    let children = supervisor?.which_children().await.ok()?;
    Some(children.iter().filter_map(|child| Slot::of_child(child.id.as_str())).collect())
}

fn stuck_event(slots: &[(Slot, Arc<SlotState>)], slot: Slot, blocking: bool) -> Option<PoolEvent> {
    let (_, state) = slots.iter().find(|(it, _)| *it == slot)?;
    let current = state.cells.current()?;
    let job = JobId::new(current.job);
    Some(PoolEvent::WorkerStuck { slot, job, lasts: current.lasts?, blocking })
}
