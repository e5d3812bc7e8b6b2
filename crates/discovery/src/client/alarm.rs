//! Waiting for a time.

use tokio::time::Instant;

/// Returns at this time, on tokio's clock.
#[expect(clippy::disallowed_methods, reason = "leases, results and checks are due at a time, and not by a fact")]
pub(super) async fn wait_until(time: Instant) {
    tokio::time::sleep_until(time).await;
}
