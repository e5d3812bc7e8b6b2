//! Exporting events from a store and importing them into one, as JSON Lines, a page at a time.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::event::line;
use crate::{
    DamagedEvent, Event, EventError, EventId, EventPage, EventStats, EventStoreError, ImportError, OnDamaged, Query,
    TransferError,
};

/// The most events of one page.
const PAGE: usize = 500;

/// The store that events are exported from, or imported into.
pub(super) trait TransferStore {
    async fn stats(&self) -> Result<EventStats, EventStoreError>;

    async fn page(&self, query: Query) -> Result<EventPage, EventStoreError>;

    /// Imports a page.
    async fn import_page(&self, page: Vec<Event>) -> Result<(), EventStoreError>;
}

/// Writes the events that a query finds in a store of this namespace.
pub(super) async fn export(
    store: &impl TransferStore,
    query: Query,
    namespace: &str,
    mut to: impl AsyncWrite + Unpin,
    mut progress: impl FnMut(u64),
) -> Result<u64, TransferError> {
    let mut written = 0;
    let failed = |events, cause| TransferError::Store { events, cause };
    let stats = store.stats().await.map_err(|cause| failed(0, cause))?;
    let mut export = Export::new(query, &stats, namespace);
    while let Some(under_way) = &mut export {
        let page = store.page(under_way.query()).await.map_err(|cause| failed(written, cause))?;
        if under_way.is_missed_in(&page) {
            under_way.pruned(&store.stats().await.map_err(|cause| failed(written, cause))?);
        }
        let Piece { events, damaged, is_last } = under_way.take(page);
        for event in &events {
            let line = line::write(event).map_err(io::Error::other);
            let sent = async { to.write_all(&line?).await };
            sent.await.map_err(|cause| TransferError::Io { events: written, cause })?;
            written += 1;
        }
        if !events.is_empty() {
            progress(written);
        }
        if let Some(damaged) = damaged {
            // The events before the damaged one are worth keeping.
            to.flush().await.map_err(|cause| TransferError::Io { events: written, cause })?;
            return Err(failed(written, damaged.into()));
        }
        export = export.filter(|_| !is_last);
    }
    to.flush().await.map_err(|cause| TransferError::Io { events: written, cause })?;
    Ok(written)
}

/// Imports exported events into a store.
pub(super) async fn import(
    store: &impl TransferStore,
    mut from: impl AsyncBufRead + Unpin,
    mut progress: impl FnMut(u64),
) -> Result<u64, TransferError> {
    let (mut taken, mut lines) = (0, 0);
    loop {
        let page = next_page(&mut from, &mut lines).await;
        let page = page.map_err(|error| error.after(taken))?;
        if page.is_empty() {
            return Ok(taken);
        }
        let count = page.len() as u64;
        store.import_page(page).await.map_err(|cause| TransferError::Store { events: taken, cause })?;
        taken += count;
        progress(taken);
    }
}

/// An export under way: of the events recorded when it began, whatever is recorded meanwhile.
#[derive(Debug)]
struct Export {
    query: Query,
    left: Option<usize>,
    whole: Option<WholeRange>,
}

/// The export of every event of a range: none may be missing, since it could not be imported.
#[derive(Debug)]
struct WholeRange {
    /// The id that has to come next.
    next: u64,
    end: u64,
    skips: bool,
    namespace: String,
    latest: SystemTime,
}

/// The next events to write.
#[derive(Debug)]
struct Piece {
    events: Vec<Arc<Event>>,
    /// The event at which the export fails, after them.
    damaged: Option<DamagedEvent>,
    is_last: bool,
}

impl Export {
    /// The export of a log with these statistics; `None` if nothing was ever recorded.
    fn new(query: Query, stats: &EventStats, namespace: &str) -> Option<Self> {
        let query = query.up_to(EventId::new(stats.recorded)?);
        let end = query.parts().up_to.map_or(0, EventId::get);
        let next = query.parts().after.map_or(1, |after| after.get().saturating_add(1));
        let skips = query.parts().on_damaged == OnDamaged::Skip;
        let (namespace, latest) = (namespace.to_owned(), SystemTime::UNIX_EPOCH);
        let whole = query.is_whole_range().then_some(WholeRange { next, end, skips, namespace, latest });
        let mut export = Self { left: query.parts().limit, query, whole };
        export.pruned(stats);
        Some(export)
    }

    /// The next query to the log.
    fn query(&self) -> Query {
        let page = self.query.clone().limit(self.left.unwrap_or(PAGE).min(PAGE));
        // Without a time limit, unless the caller has set one.
        let within = page.parts().within.flatten();
        page.within(within)
    }

    /// Whether an event is missing in this page, or before it; it may have been pruned meanwhile.
    fn is_missed_in(&self, page: &EventPage) -> bool {
        let found = page.events.len() as u64;
        self.whole.as_ref().is_some_and(|range| match page.events.last() {
            Some(last) => (last.id.get() + 1).saturating_sub(range.next) != found,
            None => range.next <= range.end,
        })
    }

    /// Notes what the log has pruned.
    fn pruned(&mut self, stats: &EventStats) {
        let oldest = stats.oldest.map_or(stats.recorded.saturating_add(1), EventId::get);
        if let Some(range) = &mut self.whole {
            range.next = range.next.max(oldest);
        }
    }

    /// Takes the answer of the log.
    fn take(&mut self, page: EventPage) -> Piece {
        let stops = !page.is_whole() && self.query.parts().on_damaged != OnDamaged::Skip;
        let is_last = page.events.is_empty() || stops;
        if let Some(last) = page.events.last() {
            self.query = self.query.clone().after(last.id).offset(0);
        }
        self.left = self.left.map(|left| left - page.events.len());
        match &mut self.whole {
            Some(range) => range.take(page, is_last),
            None => {
                let damaged = page.damaged.into_iter().next().filter(|_| stops);
                Piece { events: page.events, damaged, is_last }
            }
        }
    }
}

impl WholeRange {
    fn take(&mut self, page: EventPage, is_last: bool) -> Piece {
        let (mut events, mut damaged) = (Vec::with_capacity(page.events.len()), page.damaged.into_iter().peekable());
        let mut fill = |range: &mut Self, events: &mut Vec<_>, up_to: u64| {
            while range.next <= up_to {
                while damaged.next_if(|damaged| damaged.event.get() < range.next).is_some() {}
                let damaged = damaged.next_if(|damaged| damaged.event.get() == range.next);
                let missing = || DamagedEvent::new(EventId::after(range.next - 1), "it is missing from the log");
                let damaged = damaged.unwrap_or_else(missing);
                if !range.skips {
                    return Some(damaged);
                }
                let stands = Event::lost(damaged.event, &damaged.reason, &range.namespace, range.latest);
                events.push(Arc::new(stands));
                range.next += 1;
            }
            None
        };
        for event in page.events {
            let id = event.id.get();
            if let Some(damaged) = fill(self, &mut events, id - 1) {
                return Piece { events, damaged: Some(damaged), is_last: true };
            }
            (self.next, self.latest) = (self.next.max(id + 1), event.recorded_at);
            events.push(event);
        }
        let end = if is_last { self.end } else { 0 };
        let damaged = fill(self, &mut events, end);
        Piece { events, damaged, is_last }
    }
}

/// The most events that are imported at once.
const IMPORT_PAGE: usize = 500;
/// The longest line that is read: a payload of 1 MiB, each byte of it escaped, and all else.
const MAX_LINE: usize = 16 << 20;

/// Why there is no next page.
enum PageError {
    Line(ImportError),
    Io(io::Error),
}

impl PageError {
    fn after(self, events: u64) -> TransferError {
        match self {
            Self::Line(error) => TransferError::Store { events, cause: EventError::from(error).into() },
            Self::Io(cause) => TransferError::Io { events, cause },
        }
    }
}

/// The events of the next lines; none at the end. At most one very long line is in memory beside them.
async fn next_page(from: &mut (impl AsyncBufRead + Unpin), lines: &mut u64) -> Result<Vec<Event>, PageError> {
    let (mut page, mut bytes) = (Vec::new(), 0);
    let mut text = Vec::new();
    // A page of empty lines would look like the end.
    while page.is_empty() || (page.len() < IMPORT_PAGE && bytes < MAX_LINE) {
        text.clear();
        let read = (&mut *from).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut text).await.map_err(PageError::Io)?;
        if read == 0 {
            break;
        }
        (*lines, bytes) = (*lines + 1, bytes + read);
        let event = if read > MAX_LINE { Err(format!("it has more than {MAX_LINE} bytes")) } else { line::read(&text) };
        page.extend(event.map_err(|reason| PageError::Line(ImportError::Line { line: *lines, reason }))?);
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::NewEvent;

    fn id(number: u64) -> EventId {
        EventId::new(number).unwrap()
    }

    fn event(number: u64) -> Arc<Event> {
        let at = UNIX_EPOCH + Duration::from_secs(number);
        Arc::new(NewEvent::new("noted").unwrap().record(id(number), "production", at))
    }

    fn page(events: &[u64], damaged: &[u64]) -> EventPage {
        let mut page = EventPage::new(events.iter().copied().map(event).collect());
        damaged.iter().for_each(|number| page.add_damaged(DamagedEvent::new(id(*number), "it was changed")));
        page
    }

    fn log(oldest: u64, recorded: u64) -> EventStats {
        EventStats { recorded, oldest: EventId::new(oldest), ..EventStats::default() }
    }

    fn export(query: Query, oldest: u64, recorded: u64) -> Export {
        Export::new(query, &log(oldest, recorded), "production").unwrap()
    }

    fn ids(piece: &Piece) -> Vec<u64> {
        piece.events.iter().map(|event| event.id.get()).collect()
    }

    #[test]
    fn an_export_asks_for_nothing_that_is_recorded_after_it_has_begun() {
        assert_eq!(export(Query::new(), 1, 7).query().parts().up_to, Some(id(7)));
        assert_eq!(export(Query::new().up_to(id(3)), 1, 7).query().parts().up_to, Some(id(3)));
        assert!(Export::new(Query::new(), &EventStats::default(), "production").is_none());
    }

    #[test]
    fn an_export_goes_on_after_what_it_has_and_ends_when_nothing_is_left() {
        let mut export = export(Query::new(), 1, 3);
        let piece = export.take(page(&[1, 2, 3], &[]));
        assert_eq!((ids(&piece), piece.damaged, piece.is_last), (vec![1, 2, 3], None, false));
        assert_eq!(export.query().parts().after, Some(id(3)));
        let piece = export.take(page(&[], &[]));
        assert_eq!((ids(&piece), piece.damaged, piece.is_last), (vec![], None, true));
    }

    #[test]
    fn an_export_ends_at_a_damaged_event_after_all_that_come_before_it() {
        let piece = export(Query::new(), 1, 9).take(page(&[1, 2], &[3]));
        assert_eq!((ids(&piece), piece.damaged.unwrap().event, piece.is_last), (vec![1, 2], id(3), true));
        let some = Query::new().source("shop");
        let piece = export(some, 1, 9).take(page(&[4], &[7]));
        assert_eq!((ids(&piece), piece.damaged.unwrap().event, piece.is_last), (vec![4], id(7), true));
    }

    #[test]
    fn an_export_ends_where_an_event_is_missing() {
        let piece = export(Query::new(), 1, 9).take(page(&[1, 2, 5], &[]));
        let expected = "the row of event 3 is damaged: it is missing from the log";
        assert_eq!((ids(&piece), piece.damaged.unwrap().to_string()), (vec![1, 2], expected.to_owned()));
    }

    #[test]
    fn an_export_that_skips_puts_an_event_in_the_place_of_each_that_cannot_be_read() {
        let mut export = export(Query::new().on_damaged(OnDamaged::Skip), 1, 8);
        let piece = export.take(page(&[1, 4, 6], &[2, 5]));
        assert_eq!((ids(&piece), piece.damaged, piece.is_last), (vec![1, 2, 3, 4, 5, 6], None, false));
        let reasons: Vec<_> = piece.events.iter().filter_map(|event| event.payload["reason"].as_str()).collect();
        assert_eq!(reasons, ["it was changed", "it is missing from the log", "it was changed"]);
        assert!(piece.events.is_sorted_by_key(|event| event.recorded_at));
        let piece = export.take(page(&[], &[7]));
        assert_eq!((ids(&piece), piece.damaged, piece.is_last), (vec![7, 8], None, true));
    }

    #[test]
    fn events_pruned_before_their_export_are_not_missing() {
        let mut export = export(Query::new(), 3, 9);
        assert_eq!(ids(&export.take(page(&[3, 4], &[]))), [3, 4]);
        let next = page(&[8, 9], &[]);
        assert!(export.is_missed_in(&next));
        export.pruned(&log(8, 9));
        assert!(!export.is_missed_in(&next));
        let piece = export.take(next);
        assert_eq!((ids(&piece), piece.damaged), (vec![8, 9], None));
    }

    #[test]
    fn an_export_of_some_events_has_no_gaps() {
        let piece = export(Query::new().source("shop"), 1, 9).take(page(&[2, 5], &[]));
        assert_eq!((ids(&piece), piece.damaged, piece.is_last), (vec![2, 5], None, false));
    }
}
