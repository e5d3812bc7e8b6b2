//! What a pool's handles and tasks share beside its queue. It belongs to the specification and survives restarts.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use crate::observer::{Observer, PoolHistograms};
use crate::routing::weight_of;
use crate::settings::{Rules, Settings};
use crate::stats::measurement::Measurement;
use crate::stats::pool_stats::PoolStats;
use crate::stats::worker_stats::WorkerStats;
use crate::watch::Events;
use crate::worker::slots::Slots;

/// The rules, the slots and the events of a pool.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) settings: Settings,
    pub(crate) slots: Slots,
    pub(crate) events: Arc<Events>,
    /// Notified when the rules have changed.
    pub(crate) changed: Notify,
    /// Notified when the queue may take jobs again.
    pub(crate) opened: Notify,
    wanted: AtomicUsize,
    /// By the number of the slot.
    weights: Vec<u16>,
    observer: OnceLock<Observer>,
    /// Those of the observer.
    histograms: OnceLock<PoolHistograms>,
    /// Those of the pool alone, while there is no observer.
    own_histograms: PoolHistograms,
}

impl Control {
    pub(crate) fn new(rules: Rules, weights: Vec<u16>, measurement: Measurement, events: Arc<Events>) -> Self {
        let wanted = AtomicUsize::new(*rules.workers.start());
        Self {
            settings: Settings::new(rules),
            slots: Slots::new(measurement),
            events,
            changed: Notify::new(),
            opened: Notify::new(),
            wanted,
            weights,
            observer: OnceLock::new(),
            histograms: OnceLock::new(),
            own_histograms: PoolHistograms::default(),
        }
    }

    /// Changes the rules, which apply at once.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Rules)) {
        self.settings.change(change);
        self.changed.notify_one();
    }

    /// Notifies this observer from now on; the first one stays. False if there is one.
    pub(crate) fn observe(&self, observer: Observer) -> bool {
        let (listener, histograms) = (observer.clone(), observer.histograms());
        let is_first = self.events.listen(move |event| listener.event(event));
        if is_first {
            let _ = (self.histograms.set(histograms), self.observer.set(observer));
        }
        is_first
    }

    /// A tick has passed: the figures are read if there is an observer of them.
    pub(crate) fn ticked(&self, stats: impl FnOnce() -> PoolStats) {
        if let Some(observer) = self.observer.get() {
            observer.tick(&stats());
        }
    }

    /// What times are recorded into.
    pub(crate) fn histograms(&self) -> &PoolHistograms {
        self.histograms.get().unwrap_or(&self.own_histograms)
    }

    /// Notes the size that the pool should have, and returns that from before.
    pub(crate) fn set_wanted(&self, size: usize) -> usize {
        self.wanted.swap(size, Ordering::Relaxed)
    }

    /// The size that the pool should have.
    pub(crate) fn wanted(&self) -> usize {
        self.wanted.load(Ordering::Relaxed)
    }

    /// What each worker does, in the order of the slots; so many jobs wait in the inbox of each, by its number.
    pub(crate) fn workers(&self, inboxes: &[usize]) -> Vec<WorkerStats> {
        let stuck = self.settings.rules().stuck;
        let slots = self.slots.all().into_iter();
        slots
            .map(|(slot, state)| {
                let weight = weight_of(&self.weights, slot.number());
                let inbox = inboxes.get(slot.number()).copied().unwrap_or_default();
                WorkerStats { inbox, ..WorkerStats::read(slot, weight, &state.cells, &stuck) }
            })
            .collect()
    }
}
