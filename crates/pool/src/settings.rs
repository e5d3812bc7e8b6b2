//! The rules of a pool that may change while it runs.

use std::ops::RangeInclusive;

use parking_lot::Mutex;

use crate::scaling::rules::Scaling;
use crate::stats::stuck::Stuck;

/// The rules of a pool, read at each tick.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rules {
    /// The fewest and the most workers.
    pub(crate) workers: RangeInclusive<usize>,
    pub(crate) scaling: Scaling,
    pub(crate) stuck: Stuck,
}

/// The rules, shared by the handles and the tasks of a pool.
#[derive(Debug)]
pub(crate) struct Settings(Mutex<Rules>);

impl Settings {
    pub(crate) fn new(rules: Rules) -> Self {
        Self(Mutex::new(rules))
    }

    pub(crate) fn rules(&self) -> Rules {
        self.0.lock().clone()
    }

    /// Changes the rules; they apply from the next tick on.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.0.lock());
    }
}
