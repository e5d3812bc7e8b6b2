//! A piece of a log, as somebody reads it who follows.

use std::sync::Arc;

use super::damaged::DamagedEvent;
use super::event::Event;
use super::failure::LogFailure;
use super::id::EventId;
use super::kind::EventKind;
use super::log::EventReader;
use super::page::EventPage;
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
    /// The damaged event that comes after them, at which the reading has ended.
    pub(super) damaged: Option<DamagedEvent>,
    /// The oldest event of any kind that the log holds, looked up after `events`; at least as far back as is of interest.
    pub(super) oldest: Option<EventId>,
}

impl Wanted {
    /// Reads it.
    ///
    /// # Errors
    /// The reader's.
    pub(super) fn read(&self, reader: &dyn EventReader) -> Result<Found, LogFailure> {
        let after = self.after.into_iter().fold(Query::new(), Query::after);
        let page = reader.page(&after.kinds(self.kinds.iter().cloned()).limit(self.at_most))?;
        // What matches comes first, the oldest one second: what is pruned in between is then told as missed. In the other
        // order it would be missing without a word.
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
