//! Events that are recorded without waiting, for a store that may be away.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use foundation_events::{EventKind, EventStore, EventStoreError, NewEvent, SubscriptionSpec};
use foundation_kernel::containment::{CaughtPanic, catch_panic, report as log};
use parking_lot::Mutex;
use serde_json::json;
use tokio::runtime::Handle as Runtime;

/// A handle on the store, and the events that wait for it.
///
/// The latest events are kept; earlier ones are lost, which is recorded as a gap. Each event is an append of its own, so none
/// fails with another.
pub(super) struct RecordQueue {
    events: EventStore,
    pending: Mutex<PendingEvents>,
    capacity: usize,
}

/// The events to be recorded, in order, and the number of those lost before them.
struct PendingEvents {
    /// The kind of the event that records a gap.
    gap: EventKind,
    events: VecDeque<NewEvent>,
    lost: u64,
    /// Whether a thread is handing them over; no other thread does then, so that the order stays.
    is_handed_over: bool,
    /// Whether a task waits until the store records again.
    is_awaited: bool,
}

impl RecordQueue {
    /// Keeps so many events for a store that is away, and records what is lost as an event of this kind.
    pub(super) fn new(events: EventStore, gap: EventKind, capacity: usize) -> Arc<Self> {
        Arc::new(Self { events, pending: Mutex::new(PendingEvents::new(gap)), capacity })
    }

    /// Records an event if there is one, after those that wait: now, or as soon as the store takes it.
    pub(super) fn record(self: &Arc<Self>, event: Option<NewEvent>) {
        if !self.hand_over(event) {
            self.await_store();
        }
    }

    /// Hands over what there is, in order; false if the store takes nothing now.
    fn hand_over(&self, event: Option<NewEvent>) -> bool {
        if !self.pending.lock().add(event, self.capacity) {
            return true;
        }
        loop {
            // Without the lock: a log in memory is written synchronously, with the embedder's clock.
            let Some(event) = self.pending.lock().next() else { return true };
            let noted = catch_panic(|| self.events.note(vec![event.clone()]));
            match outcome(noted) {
                NoteOutcome::Taken => {}
                NoteOutcome::Away => {
                    self.pending.lock().put_back(event);
                    return false;
                }
                NoteOutcome::Refused { reason } => {
                    log(|| tracing::warn!(kind = %event.kind(), reason, "an event cannot be recorded and is lost"));
                    self.pending.lock().lose(&event);
                }
            }
        }
    }

    /// Has the rest recorded as soon as the store takes an event, even if nothing more is reported.
    fn await_store(self: &Arc<Self>) {
        let Ok(runtime) = Runtime::try_current() else { return };
        if std::mem::replace(&mut self.pending.lock().is_awaited, true) {
            return;
        }
        let (events, records) = (self.events.clone(), Arc::downgrade(self));
        runtime.spawn(async move {
            let caught_up = catch_up(&events, &records).await;
            let Some(records) = records.upgrade() else { return };
            records.pending.lock().is_awaited = false;
            // Another thread may have failed to hand over in between, while this task was still noted as waiting.
            if caught_up && !records.pending.lock().events.is_empty() {
                records.await_store();
            }
        });
    }
}

/// What has become of one event.
#[derive(Debug, PartialEq, Eq)]
enum NoteOutcome {
    Taken,
    /// The store does not take anything now.
    Away,
    /// The store will never take this event, or nothing is known of it.
    Refused {
        reason: String,
    },
}

fn outcome(noted: Result<Result<(), EventStoreError>, CaughtPanic>) -> NoteOutcome {
    match noted {
        Ok(Ok(())) => NoteOutcome::Taken,
        Ok(Err(EventStoreError::NotDelivered { .. } | EventStoreError::Unavailable { .. })) => NoteOutcome::Away,
        Ok(Err(refused)) => NoteOutcome::Refused { reason: refused.to_string() },
        Err(panic) => NoteOutcome::Refused { reason: format!("a panic: {}", panic.text()) },
    }
}

/// Returns when the rest is recorded; false if the namespace ends before.
async fn catch_up(events: &EventStore, records: &Weak<RecordQueue>) -> bool {
    // Subscribe before trying: every event recorded after that is received.
    let Ok(mut recorded) = events.subscribe(SubscriptionSpec::from_now()).await else { return false };
    while records.upgrade().is_some_and(|records| !records.hand_over(None)) {
        // A store that has failed records that as soon as it can record; one that was restarted is reported.
        if !matches!(recorded.next().await, Ok(Some(_))) {
            return false;
        }
    }
    true
}

impl PendingEvents {
    fn new(gap: EventKind) -> Self {
        Self { gap, events: VecDeque::new(), lost: 0, is_handed_over: false, is_awaited: false }
    }

    /// How many events are missing in a gap; `None` if the event is not a gap.
    fn lost_in(&self, event: &NewEvent) -> Option<u64> {
        event.payload_value()["lost"].as_u64().filter(|_| *event.kind() == self.gap)
    }

    /// Adds one at the end; false if another thread is handing them over, and will come to this one.
    fn add(&mut self, event: Option<NewEvent>, capacity: usize) -> bool {
        self.events.extend(event);
        let surplus = self.events.len().saturating_sub(capacity.max(1));
        if surplus > 0 {
            self.events.drain(..surplus);
            self.lost += surplus as u64;
            log(|| tracing::warn!(lost = self.lost, "the event store is away for so long that events are lost"));
        }
        !std::mem::replace(&mut self.is_handed_over, true)
    }

    /// The next event to record: a gap, before the events that follow it.
    fn next(&mut self) -> Option<NewEvent> {
        let next = match self.lost {
            0 => self.events.pop_front(),
            lost => NewEvent::of(self.gap.clone()).payload(json!({ "lost": lost })).ok(),
        };
        self.lost = 0;
        self.is_handed_over = next.is_some();
        next
    }

    /// Counts an event that cannot be recorded, or a panic hit: the next one is preceded by a gap. A gap that is lost itself
    /// is not recorded, so that none follows another without end.
    fn lose(&mut self, event: &NewEvent) {
        if self.lost_in(event).is_none() {
            self.lost += 1;
        }
    }

    /// Puts an event back that the store does not take now.
    fn put_back(&mut self, event: NewEvent) {
        self.is_handed_over = false;
        match self.lost_in(&event) {
            Some(lost) => self.lost += lost,
            None => self.events.push_front(event),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(number: u64) -> NewEvent {
        NewEvent::of(EventKind::from_static("noted")).idempotency_key(number.to_string())
    }

    fn pending() -> PendingEvents {
        PendingEvents::new(EventKind::from_static("gap"))
    }

    fn handed_over(pending: &mut PendingEvents) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(event) = pending.next() {
            let lost = pending.lost_in(&event).map(|lost| format!("{lost} lost"));
            texts.push(lost.unwrap_or_else(|| event.key().unwrap_or_default().to_owned()));
        }
        texts
    }

    #[test]
    fn the_latest_reports_are_kept_and_a_gap_comes_before_them() {
        let mut pending = pending();
        (0..10).for_each(|number| assert_eq!(pending.add(Some(note(number)), 3), number == 0));
        assert_eq!(handed_over(&mut pending), ["7 lost", "7", "8", "9"]);
    }

    #[test]
    fn an_event_that_is_refused_is_a_gap_and_does_not_hold_up_those_behind_it() {
        let mut pending = pending();
        (0..3).for_each(|number| assert_eq!(pending.add(Some(note(number)), 9), number == 0));
        let refused = pending.next().unwrap();
        pending.lose(&refused);
        let gap = pending.next().unwrap();
        assert_eq!(pending.lost_in(&gap), Some(1));
        pending.lose(&gap);
        assert_eq!(handed_over(&mut pending), ["1", "2"]);
    }

    #[test]
    fn only_a_store_that_is_away_is_tried_again() {
        let away = EventStoreError::NotDelivered { batch: Vec::new(), reason: "restarting".to_owned() };
        let displaced = EventStoreError::Displaced { reason: "its file is gone".to_owned() };
        assert_eq!(outcome(Ok(Ok(()))), NoteOutcome::Taken);
        assert_eq!(outcome(Ok(Err(away))), NoteOutcome::Away);
        assert_eq!(outcome(Ok(Err(displaced))), NoteOutcome::Refused { reason: "its file is gone".to_owned() });
        let panicked = catch_panic(|| panic!("no clock"));
        assert_eq!(outcome(panicked), NoteOutcome::Refused { reason: "a panic: no clock".to_owned() });
    }

    #[test]
    fn what_the_store_does_not_take_is_the_next_again_and_a_gap_only_grows() {
        let mut pending = pending();
        (0..3).for_each(|number| assert_eq!(pending.add(Some(note(number)), 2), number == 0));
        let gap = pending.next().unwrap();
        pending.put_back(gap);
        assert!(pending.add(Some(note(3)), 2));
        assert!(!pending.add(None, 2), "another thread is handing them over");
        let gap = pending.next().unwrap();
        assert_eq!(pending.lost_in(&gap), Some(2));
        let second = pending.next().unwrap();
        pending.put_back(second);
        assert_eq!(handed_over(&mut pending), ["2", "3"]);
    }
}
