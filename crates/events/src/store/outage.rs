use std::fmt;
use std::time::SystemTime;

use crate::{EventKind, LogError};

/// The state of an event store that cannot record: since when, and why. It still reads, and tries again by itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outage {
    /// Since when, by the store's clock.
    pub since: SystemTime,
    /// What failed, at the latest try.
    pub cause: LogError,
}

impl Outage {
    /// The kind of the event by which a store that has its log again reports it.
    pub(super) const KIND: EventKind = EventKind::from_static("event_store_outage");
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the event store records nothing at present and will try again: {}", self.cause)
    }
}
