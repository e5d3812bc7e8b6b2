use std::sync::Arc;

use crate::{DamagedEvent, Event, OnDamaged};

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
    /// These events, and no damaged one; for implementors of [`EventReader`](crate::EventReader).
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

    /// The events, if the reader goes on at damaged ones as this says.
    ///
    /// # Errors
    /// The first damaged event, unless the reader skips those.
    pub(crate) fn accept(self, on_damaged: OnDamaged) -> Result<Vec<Arc<Event>>, DamagedEvent> {
        match self.damaged.into_iter().next() {
            Some(damaged) if on_damaged != OnDamaged::Skip => Err(damaged),
            _ => Ok(self.events),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::EventId;

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
