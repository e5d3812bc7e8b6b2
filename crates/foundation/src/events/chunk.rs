//! A piece of a log, as somebody reads it who follows.

use std::sync::Arc;

use super::event::Event;
use super::failure::LogFailure;
use super::id::EventId;
use super::kind::EventKind;
use super::log::EventReader;
use super::query::Query;

/// What to read.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Of these kinds; of any if there are none.
    pub(super) kinds: Arc<[EventKind]>,
    /// Only later ones.
    pub(super) after: Option<EventId>,
    /// At most so many, the first ones.
    pub(super) at_most: usize,
    /// What was the newest when this was asked; later ones may be found or not.
    pub(super) newest: u64,
}

/// What was read.
#[derive(Debug)]
pub(super) struct Found {
    /// The first events that match, in order: as many as were wanted, or all there are.
    pub(super) events: Vec<Arc<Event>>,
    /// The oldest event of any kind after the position, looked up after `events`.
    pub(super) oldest: Option<EventId>,
}

impl Wanted {
    /// Reads it.
    ///
    /// # Errors
    /// The reader's.
    pub(super) fn read(&self, reader: &dyn EventReader) -> Result<Found, LogFailure> {
        let after = || self.after.into_iter().fold(Query::new(), Query::after);
        let events = reader.query(&after().kinds(self.kinds.iter().cloned()).limit(self.at_most))?;
        // What matches comes first, the oldest one second: what is pruned in between is then told as missed. In the other
        // order it would be missing without a word.
        let oldest = match events.first() {
            Some(first) if first.id == EventId::after(self.after.map_or(0, EventId::get)) => Some(first.id),
            _ => reader.query(&after().limit(1))?.first().map(|oldest| oldest.id),
        };
        Ok(Found { events, oldest })
    }
}
