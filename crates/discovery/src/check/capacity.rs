//! How many checks run at the same time.
//!
//! # Invariants
//!
//! 1. At most [`MAX_RUNNING_CHECKS`] run, of them at most [`MAX_RUNNING_UNPROVEN`] whose last run was no success. So checks
//!    that hang leave room for those that do not.
//! 2. They run in the order in which they became due: the semaphores are fair.
//! 3. Permits are taken in one order, so no two checks wait for each other.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::limits::{MAX_RUNNING_CHECKS, MAX_RUNNING_UNPROVEN};

/// The checks of a namespace that may run at the same time.
#[derive(Debug)]
pub(crate) struct CheckCapacity {
    unproven: Semaphore,
    all: Semaphore,
}

/// The right to run; it goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct CheckPermit<'a> {
    _unproven: Option<SemaphorePermit<'a>>,
    _any: Option<SemaphorePermit<'a>>,
}

impl CheckCapacity {
    pub(crate) fn new() -> Self {
        Self { unproven: Semaphore::new(MAX_RUNNING_UNPROVEN), all: Semaphore::new(MAX_RUNNING_CHECKS) }
    }

    /// Waits until one more may run, whose last run was a success or not.
    pub(crate) async fn permit(&self, is_proven: bool) -> CheckPermit<'_> {
        // The semaphores are never closed.
        let unproven = if is_proven { None } else { self.unproven.acquire().await.ok() };
        CheckPermit { _unproven: unproven, _any: self.all.acquire().await.ok() }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn those_that_fail_leave_half_of_the_room_to_the_others() {
        let capacity = CheckCapacity::new();
        let take = |is_proven| std::iter::from_fn(|| capacity.permit(is_proven).now_or_never()).collect::<Vec<_>>();
        let failing = take(false);
        assert_eq!(
            (failing.len(), take(true).len()),
            (MAX_RUNNING_UNPROVEN, MAX_RUNNING_CHECKS - MAX_RUNNING_UNPROVEN)
        );
        drop(failing);
        assert_eq!(take(true).len(), MAX_RUNNING_CHECKS);
    }
}
