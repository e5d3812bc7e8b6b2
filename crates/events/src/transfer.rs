//! Exporting events from a store and importing them into one, as JSON Lines.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::client::EventStore;
use super::error::EventError;
use super::event::Event;
use super::export::{Export, Piece};
use super::line;
use super::query::Query;
use super::refusal::ImportRefusal;
use super::store_error::{EventStoreError, TransferError};

/// The most events that are imported at once.
const PAGE: usize = 500;
/// The longest line that is read: a payload of 1 MiB, each byte of it escaped, and all else.
const MAX_LINE: usize = 16 << 20;

impl EventStore {
    /// Writes the events that the query asks for, in its order, as JSON Lines: one event a line, with its CRC-32. It
    /// writes a page at a time, so that any number takes little memory, and calls `progress` with the number of written
    /// events after each. Returns how many there were.
    ///
    /// It ends with the events recorded when it began, whatever is recorded meanwhile.
    ///
    /// At an event that is damaged, or missing without having been pruned, it ends with an error, after everything
    /// before it. If the query [skips](crate::OnDamaged::Skip) such events it goes on without them; if it asks for
    /// every event of a range, an event of the kind `event_lost` is written in the place of each, so that the export
    /// can be imported.
    ///
    /// ```
    /// use foundation_events::{EventStorage, EventStore, NewEvent, Query};
    /// use foundation_kernel::{Namespace, ProcessRegistry};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let root = ProcessRegistry::builder()
    /// #     .services(|names| vec![EventStore::child_spec(names, &EventStorage::memory())])
    /// #     .start().await?;
    /// # let events = EventStore::of(&root.namespace(Namespace::Production).await?);
    /// events.append(NewEvent::new("order_placed")?).await?;
    ///
    /// let mut lines = Vec::new();
    /// events.export(Query::new(), &mut lines, |_| ()).await?;
    ///
    /// // Into another namespace, which has a store of its own.
    /// let other = EventStore::of(&root.namespace(Namespace::test()).await?);
    /// assert_eq!(other.import(&lines[..], |_| ()).await?, 1);
    /// # root.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TransferError`] with how many events were written; [`EventStoreError::Damaged`] inside of it names the event.
    pub async fn export(
        &self,
        query: Query,
        mut to: impl AsyncWrite + Unpin,
        mut progress: impl FnMut(u64),
    ) -> Result<u64, TransferError> {
        let mut written = 0;
        let store = |events, cause| TransferError::Store { events, cause };
        let stats = self.stats().await.map_err(|cause| store(0, cause))?;
        let mut export = Export::new(query, &stats, &self.registry.namespace().to_string());
        while let Some(under_way) = &mut export {
            let page = self.page(under_way.query()).await.map_err(|cause| store(written, cause))?;
            if under_way.is_missed_in(&page) {
                under_way.pruned(&self.stats().await.map_err(|cause| store(written, cause))?);
            }
            let Piece { events, failure, is_last } = under_way.take(page);
            for event in &events {
                let line = line::write(event).map_err(io::Error::other);
                let sent = async { to.write_all(&line?).await };
                sent.await.map_err(|cause| TransferError::Io { events: written, cause })?;
                written += 1;
            }
            if !events.is_empty() {
                progress(written);
            }
            if let Some(damaged) = failure {
                // The events before the failure are worth keeping.
                to.flush().await.map_err(|cause| TransferError::Io { events: written, cause })?;
                return Err(store(written, damaged.into()));
            }
            export = export.filter(|_| !is_last);
        }
        to.flush().await.map_err(|cause| TransferError::Io { events: written, cause })?;
        Ok(written)
    }

    /// Imports exported events with their ids and times, in ascending order: gapless after the existing ones, or from
    /// any id on if nothing was ever recorded. It imports a page at a time, and calls `progress` with the number of
    /// imported events after each. Returns how many there were.
    ///
    /// Subscriptions from the beginning or after an event are shown imported events, in their place; those [from now
    /// on](crate::SubscriptionSpec::from_now) are not, since imported events are not new.
    ///
    /// # Errors
    /// [`TransferError`] with the number of imported events: those before the page with the fault, which is refused as
    /// a whole. The fault is an [`EventError::NotImported`] that names the event or the line.
    pub async fn import(
        &self,
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
            self.take_in(page).await.map_err(|cause| TransferError::Store { events: taken, cause })?;
            taken += count;
            progress(taken);
        }
    }

    async fn take_in(&self, page: Vec<Event>) -> Result<(), EventStoreError> {
        let position = page.last().map(|event| event.id);
        let taken = self.ask_and_move(move |log| {
            let taken = log.import(page)?;
            let position = position.filter(|_| taken.is_ok());
            Ok((taken, position))
        });
        Ok(taken.await??)
    }
}

/// Why there is no next page.
enum PageError {
    Line(ImportRefusal),
    Io(io::Error),
}

impl PageError {
    fn after(self, events: u64) -> TransferError {
        match self {
            Self::Line(refusal) => TransferError::Store { events, cause: EventError::from(refusal).into() },
            Self::Io(cause) => TransferError::Io { events, cause },
        }
    }
}

/// The events of the next lines; none at the end. At most one very long line is in memory beside them.
async fn next_page(from: &mut (impl AsyncBufRead + Unpin), lines: &mut u64) -> Result<Vec<Event>, PageError> {
    let (mut page, mut bytes) = (Vec::new(), 0);
    let mut text = Vec::new();
    // A page of empty lines would look like the end.
    while page.is_empty() || (page.len() < PAGE && bytes < MAX_LINE) {
        text.clear();
        let read = (&mut *from).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut text).await.map_err(PageError::Io)?;
        if read == 0 {
            break;
        }
        (*lines, bytes) = (*lines + 1, bytes + read);
        let event = if read > MAX_LINE { Err(format!("it has more than {MAX_LINE} bytes")) } else { line::read(&text) };
        page.extend(event.map_err(|reason| PageError::Line(ImportRefusal::Line { line: *lines, reason }))?);
    }
    Ok(page)
}
