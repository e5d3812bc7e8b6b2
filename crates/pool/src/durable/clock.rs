//! The time of day, as the runtime's clock goes on from it.

use std::time::SystemTime;

use tokio::time::Instant;

/// The time of day. It goes on with the clock of the runtime, a paused one included, and follows the system's clock when that
/// is ahead, but never back.
pub(crate) struct WallClock {
    since: (SystemTime, Instant),
}

impl WallClock {
    pub(crate) fn new() -> Self {
        Self { since: (SystemTime::now(), Instant::now()) }
    }

    pub(crate) fn now(&self) -> SystemTime {
        let (system, runtime) = self.since;
        let passed = system.checked_add(runtime.elapsed()).unwrap_or(system);
        passed.max(SystemTime::now())
    }
}
