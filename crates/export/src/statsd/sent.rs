//! The values of counters that have been sent, from which follows how much of each is to be sent next.
//!
//! # Invariants
//!
//! 1. A value is noted here when the datagram with the growth up to it has left and was not refused, and not before.
//! 2. A counter that was not seen before has been sent up to its present value if it began before the exporter, and up to zero if
//!    it began afterwards.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use foundation_telemetry::Labels;

/// Beyond so many, counters that a batch does not have are forgotten even if the batch had no room for all.
const MAX_KEPT: usize = 100_000;

/// A series of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct SeriesId {
    pub(super) name: Arc<str>,
    pub(super) labels: Labels,
}

/// The value of a counter, and when it began at zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) since: SystemTime,
    pub(super) value: u64,
}

/// The counters that have been sent.
#[derive(Debug)]
pub(super) struct SentCounts {
    /// When the exporter began.
    started: SystemTime,
    counts: HashMap<SeriesId, Count>,
}

impl SentCounts {
    /// Of an exporter that begins at this time.
    pub(super) fn since(started: SystemTime) -> Self {
        Self { started, counts: HashMap::new() }
    }

    /// How much of a counter is to be sent.
    pub(super) fn growth(&self, id: &SeriesId, now: Count) -> u64 {
        growth(self.counts.get(id).copied(), now, self.started)
    }

    /// Notes values that have been sent, or need not be.
    pub(super) fn note(&mut self, sent: impl IntoIterator<Item = (SeriesId, Count)>) {
        self.counts.extend(sent);
    }

    /// Forgets counters that a batch does not have. A batch without room for all may have left out ones that go on.
    pub(super) fn keep_only(&mut self, present: &HashSet<SeriesId>, batch_is_whole: bool) {
        if batch_is_whole || self.counts.len() > MAX_KEPT {
            self.counts.retain(|id, _| present.contains(id));
        }
    }
}

/// How much a counter has grown since it was sent.
fn growth(sent: Option<Count>, now: Count, started: SystemTime) -> u64 {
    match sent {
        Some(sent) if sent.since == now.since && sent.value <= now.value => now.value - sent.value,
        // It has begun again, at zero.
        Some(_) => now.value,
        None if now.since >= started => now.value,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn count(since: u64, value: u64) -> Count {
        Count { since: UNIX_EPOCH + Duration::from_secs(since), value }
    }

    fn id() -> SeriesId {
        SeriesId { name: "orders".into(), labels: Labels::default() }
    }

    #[test]
    fn the_total_of_a_counter_that_is_older_than_the_exporter_is_not_sent() {
        let started = UNIX_EPOCH + Duration::from_secs(10);
        assert_eq!(growth(None, count(9, 1_000), started), 0);
        assert_eq!(growth(None, count(10, 1_000), started), 1_000);
        assert_eq!(growth(Some(count(9, 1_000)), count(9, 1_003), started), 3);
    }

    #[test]
    fn a_counter_that_begins_again_counts_from_zero() {
        let started = UNIX_EPOCH + Duration::from_secs(10);
        assert_eq!(growth(Some(count(9, 1_000)), count(20, 1_005), started), 1_005);
        assert_eq!(growth(Some(count(9, 1_000)), count(9, 5), started), 5);
    }

    #[test]
    fn counters_that_are_gone_are_forgotten_unless_the_batch_had_no_room_for_them() {
        let mut sent = SentCounts::since(UNIX_EPOCH);
        sent.note([(id(), count(9, 4))]);
        sent.keep_only(&HashSet::new(), false);
        assert_eq!(sent.growth(&id(), count(9, 5)), 1);
        sent.keep_only(&HashSet::new(), true);
        assert!(sent.counts.is_empty());
    }

    proptest! {
        #[test]
        fn what_is_sent_adds_up_to_what_was_counted_whichever_exports_fail(steps in vec((0u64..100, any::<bool>()), 1..50)) {
            let mut sent = SentCounts::since(UNIX_EPOCH + Duration::from_secs(10));
            let (mut value, mut received) = (0, 0);
            for (grown, arrives) in steps.iter().copied().chain([(0, true)]) {
                value += grown;
                let growth = sent.growth(&id(), count(11, value));
                if arrives {
                    received += growth;
                    sent.note([(id(), count(11, value))]);
                }
            }
            prop_assert_eq!(received, value);
        }
    }
}
