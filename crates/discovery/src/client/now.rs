//! The time, read when it is needed.

use std::cell::Cell;

use tokio::time::Instant;

/// The time of one operation: the clock is read once, and only if the time is asked for.
#[derive(Debug, Default)]
pub(super) struct Now(Cell<Option<Instant>>);

impl Now {
    pub(super) fn get(&self) -> Instant {
        let now = self.0.get().unwrap_or_else(Instant::now);
        self.0.set(Some(now));
        now
    }
}
