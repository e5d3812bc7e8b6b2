//! Heartbeats of an instance.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foundation_kernel::supervision::Health;
use tokio::sync::Notify;
use tokio::time::Instant;

/// When the last heartbeat of one incarnation was: written by the instance, read by its checks.
///
/// A heartbeat is one store in an atomic. It waits in no queue, so none is late because of others.
#[derive(Debug)]
pub(crate) struct LastHeartbeat {
    began: Instant,
    /// In milliseconds since it began, and one: 0 without a heartbeat.
    last: AtomicU64,
    /// Notified of each heartbeat; costs a load if no check waits.
    beaten: Notify,
}

impl LastHeartbeat {
    pub(crate) fn new(now: Instant) -> Self {
        Self { began: now, last: AtomicU64::new(0), beaten: Notify::new() }
    }

    /// Notes a heartbeat.
    pub(crate) fn beat(&self, now: Instant) {
        let millis = u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX - 1);
        // Of two at the same time the later counts.
        self.last.fetch_max(millis + 1, Ordering::Release);
        self.beaten.notify_waiters();
    }

    /// The time of the last one, if there was one.
    fn last(&self) -> Option<Instant> {
        let millis = self.version().checked_sub(1)?;
        self.began.checked_add(Duration::from_millis(millis))
    }

    /// Until when it is not silent for a check that awaits heartbeats since this time.
    pub(crate) fn silent_at(&self, ttl: Duration, since: Instant) -> Instant {
        self.last().map_or(since, |last| last.max(since)) + ttl
    }

    /// What follows at this time for a check that awaits heartbeats since then: nothing while the first one is awaited.
    pub(crate) fn health(&self, ttl: Duration, since: Instant, now: Instant) -> Option<Health> {
        let last = self.last();
        if last.is_some_and(|last| now <= last + ttl) {
            return Some(Health::Healthy);
        }
        if now <= self.silent_at(ttl, since) {
            return None;
        }
        let silence = now.saturating_duration_since(last.unwrap_or(since));
        Some(Health::Failed(format!("no heartbeat for {silence:?}")))
    }

    /// A number that is another one after each heartbeat of another millisecond.
    pub(crate) fn version(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    /// Returns at the next heartbeat after this version; at once if there was one.
    pub(crate) async fn later_than(&self, version: u64) {
        let mut beaten = std::pin::pin!(self.beaten.notified());
        // Subscribe before looking: a heartbeat between the two is noticed.
        beaten.as_mut().enable();
        if self.version() == version {
            beaten.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_instance_is_silent_one_time_to_live_after_its_latest_heartbeat_and_the_beginning_of_its_check(
            ttl in 100..10_000_u64, beats in vec(0..100_000_u64, 0..10), since in 0..100_000_u64, later in 0..20_000_u64,
        ) {
            let (began, millis) = (Instant::now(), Duration::from_millis);
            let heartbeat = LastHeartbeat::new(began);
            beats.iter().for_each(|at| heartbeat.beat(began + millis(*at)));
            let (at, last) = (since + later, beats.iter().max().copied());
            let has_beaten = last.is_some_and(|last| at <= last + ttl);
            let is_silent = !has_beaten && at > last.unwrap_or(0).max(since) + ttl;
            let health = heartbeat.health(millis(ttl), began + millis(since), began + millis(at));
            prop_assert_eq!(health.is_none(), !has_beaten && !is_silent);
            prop_assert!(health.is_none_or(|health| health.is_healthy() == has_beaten));
        }
    }
}
