//! Whether a log takes exported events: a pure decision that every log shares.

use std::time::SystemTime;

use super::event::Event;
use super::id::EventId;
use super::limits::EventLimits;
use super::log::recordable;
use super::refusal::ImportRefusal;

/// The highest accepted id: beyond, logs with signed numbers would run out of ids.
const MAX_ID: u64 = 1 << 62;
/// The longest accepted name of a namespace, in bytes, so that no line brings more than the limits of events allow.
const MAX_NAMESPACE: usize = 256;

/// The state of a log before an import.
pub(super) struct Importing<'a> {
    pub(super) limits: &'a EventLimits,
    /// The highest id that was ever given.
    pub(super) position: Option<EventId>,
    /// When the last event was recorded.
    pub(super) latest: SystemTime,
}

impl Importing<'_> {
    /// The bytes of each payload, or the first reason to refuse. Idempotency keys are left to the log, which has the
    /// table of them.
    pub(super) fn check(mut self, events: &[Event]) -> Result<Vec<usize>, ImportRefusal> {
        (0..).zip(events).map(|(index, event)| self.next(index, event)).collect()
    }

    fn next(&mut self, index: usize, event: &Event) -> Result<usize, ImportRefusal> {
        let id = event.id;
        let expected = self.position.map_or(id, |position| EventId::after(position.get()));
        if id != expected {
            return Err(ImportRefusal::OutOfOrder { found: id, expected });
        }
        if id.get() > MAX_ID {
            return Err(ImportRefusal::IdTooHigh { found: id, limit: MAX_ID });
        }
        let bytes = event.namespace.len();
        if bytes > MAX_NAMESPACE {
            return Err(ImportRefusal::NamespaceTooLong { id, found: bytes, limit: MAX_NAMESPACE });
        }
        let times = [event.recorded_at, event.observed_at];
        if event.recorded_at < self.latest || times.iter().any(|time| recordable(*time) != *time) {
            return Err(ImportRefusal::Time { id });
        }
        if let Some(cause) = event.causation_id.filter(|cause| *cause >= id) {
            return Err(ImportRefusal::Cause { id, cause });
        }
        (self.position, self.latest) = (Some(id), event.recorded_at);
        self.limits.check_recorded(index, event).map_err(|refusal| ImportRefusal::Limits { id, refusal })
    }
}
