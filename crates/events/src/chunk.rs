//! A chunk of a log, as a subscription reads it.

use std::sync::Arc;

use super::damaged::DamagedEvent;
use super::event::Event;
use super::failure::LogFailure;
use super::id::EventId;
use super::kind::EventKind;
use super::log::EventReader;
use super::page::EventPage;
use super::query::Query;

/// A request to read a chunk.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Only these kinds; any if there are none.
    pub(super) kinds: Arc<[EventKind]>,
    /// Only events after this one.
    pub(super) after: Option<EventId>,
    /// At most this many, the first ones.
    pub(super) at_most: usize,
    /// The newest event at the time of the request; later ones may be found or not.
    pub(super) newest: u64,
}

/// A chunk that was read.
#[derive(Debug)]
pub(super) struct Found {
    /// The first events that match, in order: as many as were wanted, or all there are.
    pub(super) events: Vec<Arc<Event>>,
    /// The damaged event after them, at which the read ended.
    pub(super) damaged: Option<DamagedEvent>,
    /// The oldest event of any kind in the log, looked up after `events`; at least as far back as matters.
    pub(super) oldest: Option<EventId>,
}

impl Wanted {
    /// Reads the chunk.
    ///
    /// # Errors
    /// Those of the reader.
    pub(super) fn read(&self, reader: &dyn EventReader) -> Result<Found, LogFailure> {
        let after = self.after.into_iter().fold(Query::new(), Query::after);
        let page = reader.page(&after.kinds(self.kinds.iter().cloned()).limit(self.at_most))?;
        // The matching events are read first, the oldest one second: events pruned in between are then reported as
        // missed. In the other order they would be missing silently.
        let oldest = match first(&page) {
            Some(first) if first == EventId::after(self.after.map_or(0, EventId::get)) => Some(first),
            _ => reader.stats()?.oldest,
        };
        let EventPage { events, damaged, .. } = page;
        Ok(Found { events, damaged: damaged.into_iter().next(), oldest })
    }
}

/// The first event of a page, damaged or not.
fn first(page: &EventPage) -> Option<EventId> {
    let event = page.events.first().map(|event| event.id);
    event.or_else(|| page.damaged.first().map(|damaged| damaged.event))
}
