//! The rules of a queue and of the jobs in it.

use std::time::Duration;

use crate::dead_letters::DeadLetters;
use crate::error::SpecError;
use crate::overflow::WhenFull;
use crate::retry::Retry;

/// The room of a queue whose specification says nothing about it.
const DEFAULT_CAPACITY: usize = 10_000;

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
}

impl Default for QueueSpec {
    fn default() -> Self {
        let (when_full, weights, aging) = Default::default();
        Self { capacity: DEFAULT_CAPACITY, when_full, weights, aging }
    }
}

impl QueueSpec {
    /// A queue with room for this many jobs, first in, first out. The default has room for 10,000.
    ///
    /// Jobs that wait for a time or another attempt need room, too; those that workers have do not.
    ///
    /// # Errors
    /// [`SpecError::NoRoom`] for 0.
    pub fn bounded(jobs: usize) -> Result<Self, SpecError> {
        if jobs == 0 { Err(SpecError::NoRoom) } else { Ok(Self { capacity: jobs, ..Self::default() }) }
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
}

impl<J> Default for JobRules<J> {
    fn default() -> Self {
        Self { retry: Retry::default(), deadline: None, limit: None, dead_letters: DeadLetters::default() }
    }
}

impl<J> Clone for JobRules<J> {
    fn clone(&self) -> Self {
        Self { retry: self.retry, deadline: self.deadline, limit: self.limit, dead_letters: self.dead_letters.clone() }
    }
}
