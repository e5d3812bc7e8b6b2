//! The rules of a queue and of the jobs in it.

use std::sync::Arc;
use std::time::Duration;

use super::rate::Rate;
use crate::dead_letters::DeadLetters;
use crate::error::SpecError;
use crate::overflow::WhenFull;
use crate::retry::Retry;
use crate::watch::Events;

/// The room of a queue whose specification says nothing about it.
const DEFAULT_CAPACITY: usize = 10_000;

/// The most room of a queue: those that come back from workers find room beyond it.
const MAX_CAPACITY: usize = 1 << 31;

/// The room of a queue, and its order.
///
/// ```
/// use std::time::Duration;
/// use foundation_pool::{QueueSpec, WhenFull};
///
/// let queue = QueueSpec::bounded(1_000)?
///     .when_full(WhenFull::DropOldest)
///     .priorities([16, 8, 4, 2, 1])
///     .aging(Duration::from_secs(10));
/// # let _ = queue;
/// # Ok::<(), foundation_pool::SpecError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSpec {
    pub(crate) capacity: usize,
    pub(crate) when_full: WhenFull,
    pub(crate) weights: Vec<u32>,
    pub(crate) aging: Option<Duration>,
    pub(crate) rate: Option<Rate>,
}

impl Default for QueueSpec {
    fn default() -> Self {
        let (when_full, weights, aging, rate) = Default::default();
        Self { capacity: DEFAULT_CAPACITY, when_full, weights, aging, rate }
    }
}

impl QueueSpec {
    /// A queue with room for this many jobs, first in, first out. The default has room for 10,000.
    ///
    /// Jobs that wait for a time, for another one of their key or for another attempt need room, too; those that workers have
    /// do not. There is room for 2³¹ at most.
    ///
    /// # Errors
    /// [`SpecError::NoRoom`] for 0.
    pub fn bounded(jobs: usize) -> Result<Self, SpecError> {
        if jobs == 0 {
            Err(SpecError::NoRoom)
        } else {
            Ok(Self { capacity: jobs.min(MAX_CAPACITY), ..Self::default() })
        }
    }

    /// What happens to a job for which there is no room.
    pub fn when_full(self, when_full: WhenFull) -> Self {
        Self { when_full, ..self }
    }

    /// Levels of priority, the most urgent first: while all have jobs, each gets its weight's share of the workers, so that
    /// none starves. There are 16 levels at most.
    pub fn priorities(self, weights: impl IntoIterator<Item = u32>) -> Self {
        Self { weights: weights.into_iter().collect(), ..self }
    }

    /// The most jobs that are begun, or taken, per time.
    pub fn rate(self, rate: Rate) -> Self {
        Self { rate: Some(rate), ..self }
    }

    /// After each such time a waiting job counts as one level more urgent.
    pub fn aging(self, time: Duration) -> Self {
        Self { aging: Some(time), ..self }
    }
}

/// The rules of the jobs of a pool.
pub(crate) struct JobRules<J> {
    pub(crate) retry: Retry,
    /// The longest wait for the first attempt.
    pub(crate) deadline: Option<Duration>,
    /// The longest attempt.
    pub(crate) limit: Option<Duration>,
    pub(crate) dead_letters: DeadLetters<J>,
    pub(crate) events: Arc<Events>,
}

impl<J> Default for JobRules<J> {
    fn default() -> Self {
        let (retry, dead_letters, events) = (Retry::default(), DeadLetters::default(), Arc::new(Events::new()));
        Self { retry, deadline: None, limit: None, dead_letters, events }
    }
}

impl<J> Clone for JobRules<J> {
    fn clone(&self) -> Self {
        let Self { retry, deadline, limit, dead_letters, events } = self;
        let (dead_letters, events) = (dead_letters.clone(), Arc::clone(events));
        Self { retry: *retry, deadline: *deadline, limit: *limit, dead_letters, events }
    }
}
