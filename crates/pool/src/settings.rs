//! The rules of a pool that may change while it runs.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;

use parking_lot::Mutex;

use crate::error::SpecError;
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

impl Default for Rules {
    /// Two workers to twice the processors that the program may use.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { workers: 2..=(2 * processors).min(MAX_WORKERS), scaling: Scaling::default(), stuck: Stuck::default() }
    }
}

/// The most workers of a pool; more are a mistake.
const MAX_WORKERS: usize = 1 << 12;

/// The fewest and the most workers of a pool: a number, or a range as `2..=8`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerLimits(RangeInclusive<usize>);

impl From<usize> for WorkerLimits {
    fn from(workers: usize) -> Self {
        Self(workers..=workers)
    }
}

impl From<RangeInclusive<usize>> for WorkerLimits {
    fn from(workers: RangeInclusive<usize>) -> Self {
        Self(workers)
    }
}

impl WorkerLimits {
    pub(crate) fn check(self) -> Result<RangeInclusive<usize>, SpecError> {
        let (least, most) = (*self.0.start(), *self.0.end());
        if least == 0 || least > most || most > MAX_WORKERS {
            return Err(SpecError::Workers { least, most, max: MAX_WORKERS });
        }
        Ok(self.0)
    }
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
