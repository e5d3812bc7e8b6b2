//! The errors of a log: of its storage, or of reading one event.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use foundation_kernel::containment::error_text;
use serde::Serialize;

use crate::EventId;

/// An error of a log's storage: the request may or may not have been carried out, and the log must not be used any
/// more.
///
/// To go on, the log is opened again. An [`EventStore`](crate::EventStore) does that by itself, and records nothing
/// until it has worked ([`EventStore::outage`](crate::EventStore::outage)). Cheap to clone.
///
/// ```
/// use foundation_events::LogError;
///
/// let error = LogError::new("committing 3 events", "/var/lib/shop/events.db", "the device does not answer");
/// assert_eq!(error.to_string(), "committing 3 events failed in /var/lib/shop/events.db: the device does not answer");
/// ```
#[derive(Debug, Clone)]
pub struct LogError(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    action: String,
    place: String,
    cause: Box<dyn Error + Send + Sync>,
    kind: LogErrorKind,
}

/// The kind of a [`LogError`], as far as a program can act on it.
///
/// ```
/// use foundation_events::{LogError, LogErrorKind};
///
/// let error = LogError::new("committing 3 events", "/var/lib/shop/events.db", "the device does not answer");
/// assert_eq!(error.kind(), &LogErrorKind::Storage);
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogErrorKind {
    /// The storage has failed.
    Storage,
    /// The storage is full: its device has no space left, or a quota is used up. A log in SQLite tells
    /// only the former; with a quota its errors are [`Storage`](Self::Storage).
    Full,
    /// One event cannot be read; all others can.
    Damaged(DamagedEvent),
    /// The storage is not the one that was opened: its file was removed, replaced, moved or cut off, or it ends before
    /// what was acknowledged. Events written to it since are not to be relied upon.
    Displaced,
}

impl LogError {
    /// The error of an action ("committing 3 events") in a place (a file, for example) for this cause. With an
    /// [`io::Error`] of the kind [`StorageFull`](io::ErrorKind::StorageFull) or
    /// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) as its cause it is [`Full`](LogErrorKind::Full).
    pub fn new(
        action: impl Into<String>,
        place: impl Into<String>,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        let (action, place, cause) = (action.into(), place.into(), cause.into());
        let kind = if cause.downcast_ref().is_some_and(is_full) { LogErrorKind::Full } else { LogErrorKind::Storage };
        Self(Arc::new(Inner { action, place, cause, kind }))
    }

    /// The error of an action in a place whose storage is full.
    ///
    /// ```
    /// use foundation_events::{LogError, LogErrorKind};
    ///
    /// let error = LogError::full("recording 3 events", "/var/lib/shop/events.db", "no space left on device");
    /// assert_eq!(error.kind(), &LogErrorKind::Full);
    /// ```
    pub fn full(
        action: impl Into<String>,
        place: impl Into<String>,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        let (action, place, cause) = (action.into(), place.into(), cause.into());
        Self(Arc::new(Inner { action, place, cause, kind: LogErrorKind::Full }))
    }

    /// The error of an action in a place because of one damaged event.
    ///
    /// ```
    /// use foundation_events::{DamagedEvent, EventId, LogError};
    ///
    /// let damaged = DamagedEvent::new(EventId::FIRST, "its checksum is wrong");
    /// let error = LogError::damaged("querying events", "/var/lib/shop/events.db", damaged.clone());
    /// assert_eq!(error.damaged_event(), Some(&damaged));
    /// ```
    pub fn damaged(action: impl Into<String>, place: impl Into<String>, event: DamagedEvent) -> Self {
        let (action, place, cause) = (action.into(), place.into(), event.to_string().into());
        Self(Arc::new(Inner { action, place, cause, kind: LogErrorKind::Damaged(event) }))
    }

    /// The error of an action in a place whose storage is not the one that was opened.
    ///
    /// ```
    /// use foundation_events::{LogError, LogErrorKind};
    ///
    /// let error = LogError::displaced("recording 3 events", "/var/lib/shop/events.db", "the file was removed");
    /// assert_eq!(error.kind(), &LogErrorKind::Displaced);
    /// ```
    pub fn displaced(
        action: impl Into<String>,
        place: impl Into<String>,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        let (action, place, cause) = (action.into(), place.into(), cause.into());
        Self(Arc::new(Inner { action, place, cause, kind: LogErrorKind::Displaced }))
    }

    /// The kind of the error.
    pub fn kind(&self) -> &LogErrorKind {
        &self.0.kind
    }

    /// The damaged event, if nothing else has failed.
    pub fn damaged_event(&self) -> Option<&DamagedEvent> {
        match &self.0.kind {
            LogErrorKind::Damaged(event) => Some(event),
            _ => None,
        }
    }

    /// The action that failed.
    pub fn action(&self) -> &str {
        &self.0.action
    }

    /// The place: the file, as a rule.
    pub fn place(&self) -> &str {
        &self.0.place
    }

    /// The cause, as the log has given it. Its text, and those of its own sources, are part of that of the error. That of a
    /// [`SqliteLog`](crate::SqliteLog) is of a private type; what a program can act on is the [`kind`](Self::kind).
    ///
    /// ```
    /// use std::io;
    /// use foundation_events::{LogError, LogErrorKind};
    ///
    /// let full = io::Error::from(io::ErrorKind::StorageFull);
    /// let error = LogError::new("committing 3 events", "/mnt/log", full);
    /// assert_eq!(error.kind(), &LogErrorKind::Full);
    /// let cause = error.cause().downcast_ref::<io::Error>().expect("as it was given");
    /// assert_eq!(cause.kind(), io::ErrorKind::StorageFull);
    /// ```
    pub fn cause(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0.cause
    }
}

/// Whether an error says that the storage is full.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { action, place, cause, .. } = &*self.0;
        write!(f, "{action} failed in {place}: {}", error_text(&**cause))
    }
}

// Without a source: the causes are in the text.
impl Error for LogError {}

/// An event that was recorded and cannot be read any more as it was: its row was changed, by a failing disk or by a
/// tool.
///
/// ```
/// use foundation_events::{DamagedEvent, EventId};
///
/// let damaged = DamagedEvent::new(EventId::FIRST, "its payload is no JSON");
/// assert_eq!(damaged.to_string(), "the row of event 1 is damaged: its payload is no JSON");
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamagedEvent {
    /// The event.
    pub event: EventId,
    /// What is wrong with it.
    pub reason: String,
}

impl DamagedEvent {
    /// This event, for this reason; for implementors of [`EventLog`](crate::EventLog).
    pub fn new(event: EventId, reason: impl Into<String>) -> Self {
        Self { event, reason: reason.into() }
    }
}

impl fmt::Display for DamagedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the row of event {} is damaged: {}", self.event, self.reason)
    }
}

/// What a reader does at a damaged event, or at one that is missing from the log. Everything before it is read in any
/// case.
///
/// | | query, export | subscription |
/// |---|---|---|
/// | [`Report`](Self::Report) | ends with an error that names the event | shows an error once; the next call goes on after the event |
/// | [`Skip`](Self::Skip) | goes on without it | goes on without it, and counts it |
/// | [`Stop`](Self::Stop) | as `Report` | shows the error and ends |
///
/// Each skipped event is reported by a warning to `tracing`.
///
/// ```
/// use foundation_events::{OnDamaged, Query};
///
/// let whatever_is_left = Query::new().on_damaged(OnDamaged::Skip);
/// assert_eq!(OnDamaged::default(), OnDamaged::Report);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnDamaged {
    /// Reports it, once.
    #[default]
    Report,
    /// Goes on without it.
    Skip,
    /// Reports it and ends.
    Stop,
}
