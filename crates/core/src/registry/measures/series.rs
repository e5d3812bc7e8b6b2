//! What is measured of one service, as it is written.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::service_measures::ServiceMeasures;
use crate::telemetry::Histogram;

/// The figures of one name. Everything is relaxed: the numbers stand for themselves and publish nothing else.
///
/// As a rule one actor writes. But one whose name has just been taken away may be in the middle of a message while the
/// next one begins: hence read-modify-writes, and no single-writer cells. Nobody fights over them.
pub(super) struct Series {
    since: Instant,
    messages: AtomicU64,
    failures: AtomicU64,
    /// Nanoseconds from `since` until the last activity.
    active: AtomicU64,
    handling_ns: Histogram,
}

impl Series {
    pub(super) fn new() -> Self {
        let zero = AtomicU64::default;
        Self {
            since: Instant::now(),
            messages: zero(),
            failures: zero(),
            active: zero(),
            handling_ns: Histogram::new(),
        }
    }

    /// One more message: the number of those before it.
    pub(super) fn begin(&self, now: Instant) -> u64 {
        self.touch(now);
        self.messages.fetch_add(1, Ordering::Relaxed)
    }

    /// Something happens now.
    pub(super) fn touch(&self, now: Instant) {
        self.active.store(nanoseconds(self.since, now), Ordering::Relaxed);
    }

    pub(super) fn fail(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn record(&self, begun: Instant, ended: Instant) {
        self.handling_ns.record(nanoseconds(begun, ended) as f64);
    }

    pub(super) fn read(&self, now: Instant) -> ServiceMeasures {
        let active = self.since + Duration::from_nanos(self.active.load(Ordering::Relaxed));
        // A failure is counted after its message, so it is read before: there are never more of them than messages.
        let failures = self.failures.load(Ordering::Relaxed);
        ServiceMeasures {
            messages: self.messages.load(Ordering::Relaxed).max(failures),
            failures,
            idle: now.saturating_duration_since(active),
            handling_ns: self.handling_ns.snapshot(),
        }
    }
}

/// Enough for 584 years.
fn nanoseconds(from: Instant, until: Instant) -> u64 {
    until.saturating_duration_since(from).as_nanos() as u64
}
