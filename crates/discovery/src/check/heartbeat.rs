//! Heartbeats of an instance.

use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::supervision::Health;
use tokio::time::Instant;

use crate::pulse::{Pulse, Sign};

/// The heartbeats of one incarnation: given by the instance, read by its checks.
///
/// A heartbeat waits in no queue, so none is late because of others.
#[derive(Debug)]
pub(crate) struct Heartbeats(Arc<Pulse>);

impl Heartbeats {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Arc::new(Pulse::new(now)))
    }

    pub(crate) fn pulse(&self) -> &Arc<Pulse> {
        &self.0
    }

    /// Notes a heartbeat at this time.
    pub(crate) fn beat(&self, now: Instant) {
        self.0.note(now);
    }

    /// The last one, with those that have no time; `None` if the incarnation is gone.
    pub(crate) fn last(&self, now: Instant) -> Option<Sign> {
        self.0.take_in(now);
        self.0.last()
    }

    /// What the last one says at this time to a check that awaits heartbeats since then.
    pub(crate) fn look(&self, last: Sign, (ttl, since): (Duration, Instant), now: Instant) -> HeartbeatLook {
        let last = self.0.time_of(last);
        let silent_at = last.map_or(since, |last| last.max(since)) + ttl;
        let health = match last {
            Some(last) if now <= last + ttl => Some(Health::Healthy),
            _ if now <= silent_at => None,
            last => {
                let silence = now.saturating_duration_since(last.unwrap_or(since));
                Some(Health::Failed(format!("no heartbeat for {silence:?}")))
            }
        };
        HeartbeatLook { health, silent_at }
    }
}

/// The heartbeats of an incarnation at one time.
pub(crate) struct HeartbeatLook {
    /// What follows; nothing while the first one is awaited.
    pub(crate) health: Option<Health>,
    /// Until when it is not silent.
    pub(crate) silent_at: Instant,
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
            let heartbeat = Heartbeats::new(began);
            beats.iter().for_each(|at| heartbeat.beat(began + millis(*at)));
            let (at, last) = (since + later, beats.iter().max().copied());
            let has_beaten = last.is_some_and(|last| at <= last + ttl);
            let is_silent = !has_beaten && at > last.unwrap_or(0).max(since) + ttl;
            let now = began + millis(at);
            let health = heartbeat.look(heartbeat.last(now).unwrap(), (millis(ttl), began + millis(since)), now).health;
            prop_assert_eq!(health.is_none(), !has_beaten && !is_silent);
            prop_assert!(health.is_none_or(|health| health.is_healthy() == has_beaten));
        }
    }
}
