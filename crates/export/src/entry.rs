//! A registered exporter: what its task and the client share. It outlives each life of the task.

use std::sync::atomic::{AtomicBool, Ordering};

use foundation_kernel::names::ServiceName;
use foundation_kernel::ractor::ActorId;
use foundation_kernel::supervision::ChildId;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};

use crate::error::ExportError;
use crate::exporter::Exported;
use crate::spec::ExporterSpec;
use crate::stats::{Counts, ExporterState, ExporterStats};

/// What an export has come to.
pub(crate) type Outcome = Result<Exported, ExportError>;

/// A registered exporter.
pub(crate) struct Entry {
    pub(crate) name: ServiceName,
    pub(crate) spec: ExporterSpec,
    pub(crate) counts: Counts,
    paused: AtomicBool,
    /// The callers that have asked for an export that has not begun.
    waiting: Mutex<Waiting>,
    /// Notified when a caller asks for an export, or the exporter is paused or resumed.
    pub(crate) requested: Notify,
    /// The supervisor that has started its task, or is about to.
    started_by: Mutex<Option<ActorId>>,
    removed: watch::Sender<bool>,
    life: watch::Sender<LifeState>,
}

/// The present life of the task.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LifeState {
    NotBegun,
    Runs,
    Ended,
}

#[derive(Default)]
struct Waiting {
    runs: bool,
    callers: Vec<oneshot::Sender<Outcome>>,
}

impl Waiting {
    /// Adds a caller. Those that wait no longer leave before the list grows: an export that takes long may be asked for often.
    fn add(&mut self, caller: oneshot::Sender<Outcome>) {
        if self.callers.len() == self.callers.capacity() {
            self.callers.retain(|caller| !caller.is_closed());
        }
        self.callers.push(caller);
    }
}

impl Entry {
    pub(crate) fn new(name: ServiceName, spec: ExporterSpec) -> Self {
        let (counts, paused, waiting, started_by) = Default::default();
        let (removed, life) = (watch::Sender::new(false), watch::Sender::new(LifeState::NotBegun));
        Self { name, spec, counts, paused, waiting, requested: Notify::new(), started_by, removed, life }
    }

    pub(crate) fn child_id(&self) -> ChildId {
        ChildId::from(self.name.as_str())
    }

    pub(crate) fn stats(&self) -> ExporterStats {
        self.counts.read(self.name.clone(), self.spec.format, self.spec.schedule.to_string())
    }

    // ---- its task ----

    /// Whether the caller has to start the task below this supervisor: the first one has.
    pub(crate) fn is_to_be_started_by(&self, supervisor: ActorId) -> bool {
        self.started_by.lock().replace(supervisor) != Some(supervisor)
    }

    /// The exporter is removed: its task ends, also one that is about to start.
    pub(crate) fn remove(&self) {
        self.removed.send_replace(true);
    }

    pub(crate) fn is_removed(&self) -> bool {
        *self.removed.borrow()
    }

    pub(crate) async fn removed(&self) {
        // An error: the sender is gone, which this has.
        drop(self.removed.subscribe().wait_for(|removed| *removed).await);
    }

    /// Returns when the first life of the task has begun, so that it may be asked.
    pub(crate) async fn begun(&self) {
        drop(self.life.subscribe().wait_for(|life| *life != LifeState::NotBegun).await);
    }

    /// Returns when the task does not run.
    pub(crate) async fn ended(&self) {
        drop(self.life.subscribe().wait_for(|life| *life != LifeState::Runs).await);
    }

    // ---- pausing ----

    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
        // The state that is shown follows at once.
        self.requested.notify_one();
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// What the task shows while it does nothing.
    pub(crate) fn at_rest(&self) -> ExporterState {
        if self.is_paused() { ExporterState::Paused } else { ExporterState::Waiting }
    }

    // ---- requests ----

    /// Asks for an export; `None` while the task does not run.
    pub(crate) fn request(&self) -> Option<oneshot::Receiver<Outcome>> {
        let (caller, outcome) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        if !waiting.runs {
            return None;
        }
        waiting.add(caller);
        drop(waiting);
        self.requested.notify_one();
        Some(outcome)
    }

    pub(crate) fn take_callers(&self) -> Vec<oneshot::Sender<Outcome>> {
        std::mem::take(&mut self.waiting.lock().callers)
    }

    /// The task runs until the guard is dropped.
    pub(crate) fn begin_life(&self) -> Life<'_> {
        self.waiting.lock().runs = true;
        self.life.send_replace(LifeState::Runs);
        self.counts.set_state(self.at_rest());
        Life(self)
    }
}

/// A life of the task of an exporter. Dropped, it drops the senders of the waiting callers, which shows them that it has ended.
pub(crate) struct Life<'a>(&'a Entry);

impl Drop for Life<'_> {
    fn drop(&mut self) {
        self.0.counts.set_state(ExporterState::Down);
        let callers = {
            let mut waiting = self.0.waiting.lock();
            waiting.runs = false;
            std::mem::take(&mut waiting.callers)
        };
        drop(callers);
        self.0.life.send_replace(LifeState::Ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_that_wait_no_longer_take_no_room() {
        let mut waiting = Waiting::default();
        let (caller, outcome) = oneshot::channel();
        waiting.add(caller);
        (0..1_000).for_each(|_| waiting.add(oneshot::channel().0));
        assert!(waiting.callers.len() < 10, "{}", waiting.callers.len());
        assert!(waiting.callers.iter().any(|caller| !caller.is_closed()));
        drop(outcome);
    }
}
