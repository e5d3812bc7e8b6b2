use std::sync::Arc;

use super::damaged::DamagedEvent;
use super::event::Event;
use super::failure::LogFailure;
use super::id::EventId;
use super::log::EventReader;
use super::on_damaged::OnDamaged;
use super::query::{Order, Query};

/// The most damaged events that a page names.
const MAX_DAMAGED: usize = 1_000;

/// What a query finds in a log that may be damaged.
///
/// Unless the query [skips](OnDamaged::Skip) damaged events, the page ends before the first one, which it names.
///
/// ```
/// use foundation_events::{DamagedEvent, EventId, EventPage, OnDamaged};
///
/// let mut page = EventPage::new(Vec::new());
/// assert!(page.is_whole());
/// page.add_damaged(DamagedEvent::new(EventId::FIRST, "its checksum is wrong"));
/// assert_eq!((page.is_whole(), page.damaged_count), (false, 1));
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventPage {
    /// The events that match, in the order of the query.
    pub events: Vec<Arc<Event>>,
    /// The damaged events that were visited, the first 1,000 of them.
    pub damaged: Vec<DamagedEvent>,
    /// How many damaged events there were.
    pub damaged_count: u64,
}

impl EventPage {
    /// These events, and no damaged one; for implementors of [`EventReader`].
    pub fn new(events: Vec<Arc<Event>>) -> Self {
        Self { events, ..Self::default() }
    }

    /// Adds a damaged event.
    pub fn add_damaged(&mut self, damaged: DamagedEvent) {
        self.damaged_count += 1;
        if self.damaged.len() < MAX_DAMAGED {
            self.damaged.push(damaged);
        }
    }

    /// Whether no damaged event was found.
    pub fn is_whole(&self) -> bool {
        self.damaged_count == 0
    }

    /// The events, if the query accepts the page as it is.
    ///
    /// # Errors
    /// The first damaged event, unless the query skips those.
    pub(super) fn accept(self, query: &Query) -> Result<Vec<Arc<Event>>, DamagedEvent> {
        match self.damaged.into_iter().next() {
            Some(damaged) if query.on_damaged != OnDamaged::Skip => Err(damaged),
            _ => Ok(self.events),
        }
    }

    /// The events of a log before the damaged one on which its query has failed.
    ///
    /// # Errors
    /// The failure, if that event is not known, or the events before it cannot be determined.
    pub(super) fn before(
        failure: LogFailure,
        reader: &(impl EventReader + ?Sized),
        query: &Query,
    ) -> Result<Self, LogFailure> {
        let Some(damaged) = failure.damaged_event().cloned() else { return Err(failure) };
        if query.order == Order::Descending || query.on_damaged == OnDamaged::Skip {
            return Err(failure);
        }
        let last = EventId::new(damaged.event.get() - 1);
        let before = last.map(|last| reader.query(&query.clone().up_to(last)));
        let mut page = Self::new(before.transpose()?.unwrap_or_default());
        page.add_damaged(damaged);
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_damaged_events_all_are_counted_and_the_first_thousand_named() {
        let mut page = EventPage::default();
        for number in 1..=1_001 {
            page.add_damaged(DamagedEvent::new(EventId::new(number).unwrap(), "its checksum is wrong"));
        }
        assert_eq!((page.damaged_count, page.damaged.len(), page.is_whole()), (1_001, 1_000, false));
        assert_eq!(page.damaged[999].event.get(), 1_000);
    }
}
