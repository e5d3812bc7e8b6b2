//! Waiting for a time.

use std::time::Duration;

use tokio::time::Instant;

/// A result counts up to its expiry, and timers count milliseconds: it is too old with the next one.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// Returns at this time, on tokio's clock.
#[expect(clippy::disallowed_methods, reason = "leases, results and checks are due at a time, and not by a fact")]
pub(super) async fn wait_until(time: Instant) {
    tokio::time::sleep_until(time).await;
}
