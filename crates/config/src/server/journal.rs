//! The journal of the changes: how they are recorded as events, and read back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use foundation_events::json::json_bytes;
use foundation_events::{
    BatchError, Event, EventError, EventId, EventKind, EventStore, EventStoreError, Hold, NewEvent, Outage, Query,
};
use foundation_kernel::containment::report;
use foundation_kernel::names::ServiceRegistry;
use foundation_kernel::ractor::ActorProcessingErr;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::limits::ConfigServerLimits;
use super::note::ChangeNote;
use super::update_error::ConfigUpdateError;
use crate::values::{ConfigChange, ConfigPath};

/// The name of the config server in each namespace, which is the source of its events.
pub(super) const SERVER: &str = "config_server";

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordKind {
    /// A change at run time.
    Update,
    /// A change of the files.
    Reload,
    /// All changes at run time in force, recorded before older events are pruned.
    Checkpoint,
}

impl RecordKind {
    const ALL: [Self; 3] = [Self::Update, Self::Reload, Self::Checkpoint];

    const fn event_kind(self) -> EventKind {
        match self {
            Self::Update => ConfigRecord::UPDATED,
            Self::Reload => ConfigRecord::RELOADED,
            Self::Checkpoint => ConfigRecord::CHECKPOINT,
        }
    }
}

/// One change of a value, as it was recorded.
///
/// The config server records four kinds of events, all of them with its [name](crate::ConfigServer::NAME) as their
/// source:
///
/// | kind | payload |
/// |---|---|
/// | [`config_updated`](Self::UPDATED), [`config_reloaded`](Self::RELOADED) | the change (`path`, `old`, `new`, and `reset` if it is one), or several in `changes`; `author` and `reason` of its note |
/// | [`config_checkpoint`](Self::CHECKPOINT) | the changes at run time that are in force, in the same form |
/// | [`config_reload_refused`](Self::RELOAD_REFUSED) | `reason` |
///
/// A reload or a checkpoint that exceeds the size of one event is recorded in several, in one batch and with one
/// correlation id. Each has its number, `part`, and the number of all, `of`; they count only together.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ConfigRecord {
    /// The event that records it; the last one if it takes several, as a reload of many values may.
    pub event: EventId,
    /// When it was recorded.
    #[serde(with = "foundation_kernel::written::rfc3339")]
    pub recorded_at: SystemTime,
    /// How it came about.
    pub cause: ChangeCause,
    /// Path, old value and new value; those of secrets are `"[redacted]"`.
    pub change: ConfigChange,
    /// Who changed it, and why.
    pub note: ChangeNote,
}

impl ConfigRecord {
    /// Values were changed at run time: set, reset or rolled back.
    pub const UPDATED: EventKind = EventKind::from_static("config_updated");
    /// Values were changed by a reload of the files.
    pub const RELOADED: EventKind = EventKind::from_static("config_reloaded");
    /// All changes at run time that are in force were recorded anew, so that older events can be pruned.
    pub const CHECKPOINT: EventKind = EventKind::from_static("config_checkpoint");
    /// The files were read again and are refused, with the reason: one cannot be read, or their values do not fit. A
    /// reload that cannot be recorded is not refused.
    pub const RELOAD_REFUSED: EventKind = EventKind::from_static("config_reload_refused");
}

/// How a change came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChangeCause {
    /// A caller asked for it at run time.
    Update,
    /// A file has changed.
    Reload,
}

/// The payload of an event about changes: one of them as it is, several in a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Recorded {
    #[serde(flatten)]
    what: What,
    #[serde(flatten)]
    note: ChangeNote,
    /// The number of this event among several that count only together; see [`split`](Self::split).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of: Option<u32>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum What {
    One(ConfigChange),
    Several { changes: Vec<ConfigChange> },
}

impl Recorded {
    fn new(changes: &[ConfigChange], note: &ChangeNote) -> Self {
        let what = match changes {
            [one] => What::One(one.clone()),
            several => What::Several { changes: several.to_vec() },
        };
        Self { what, note: note.clone(), part: None, of: None }
    }

    fn event(&self, kind: RecordKind, correlation: Uuid) -> Result<NewEvent, EventError> {
        NewEvent::of(kind.event_kind()).source(SERVER).correlation(correlation).payload(self)
    }

    /// The same changes in as few parts as possible, each of at most `max_bytes` bytes, in their order. A larger change
    /// is a part by itself. The note is in the first part.
    fn split(changes: &[ConfigChange], note: &ChangeNote, max_bytes: usize) -> Vec<Self> {
        let frame = |note: ChangeNote| {
            let what = What::Several { changes: Vec::new() };
            bytes(&Self { what, note, part: Some(u32::MAX), of: Some(u32::MAX) })
        };
        let (mut parts, mut left) = (vec![Vec::new()], max_bytes.saturating_sub(frame(note.clone())));
        for change in changes {
            let more = bytes(change) + 1;
            if more > left && parts.last().is_some_and(|part| !part.is_empty()) {
                parts.push(Vec::new());
                left = max_bytes.saturating_sub(frame(ChangeNote::default()));
            }
            left = left.saturating_sub(more);
            parts.last_mut().into_iter().for_each(|part| part.push(change.clone()));
        }
        let of = u32::try_from(parts.len()).ok();
        let notes = std::iter::once(note.clone()).chain(std::iter::repeat(ChangeNote::default()));
        let part = |(number, (changes, note)): (u32, (Vec<_>, ChangeNote))| Self {
            part: Some(number),
            of,
            ..Self::new(&changes, &note)
        };
        (1..).zip(parts.into_iter().zip(notes)).map(part).collect()
    }

    fn into_changes(self) -> Vec<ConfigChange> {
        match self.what {
            What::One(change) => vec![change],
            What::Several { changes } => changes,
        }
    }

    /// Its number and the number of parts; most records have one part.
    fn parts(&self) -> (u32, u32) {
        (self.part.unwrap_or(1), self.of.unwrap_or(1))
    }
}

fn bytes(value: &impl Serialize) -> usize {
    serde_json::to_value(value).map_or(usize::MAX, |value| json_bytes(&value))
}

/// Changes that were recorded together, in one event or in several that count only together.
#[derive(Debug)]
pub(super) struct Record {
    /// The first of its events.
    first: EventId,
    /// The last of its events, which identifies it.
    pub(super) event: EventId,
    pub(super) kind: RecordKind,
    pub(super) correlation: Uuid,
    recorded_at: SystemTime,
    /// The changes, or why the events do not say what changed.
    pub(super) changes: Result<Vec<ConfigChange>, String>,
    pub(super) note: ChangeNote,
    parts: (u32, u32),
}

impl Record {
    /// The record that begins with this event, or one without changes if the event is not a first part.
    fn of(event: &Event, kind: RecordKind) -> Self {
        let recorded: Result<Recorded, _> = event.payload_as();
        let (note, parts) = recorded.as_ref().map(|it| (it.note.clone(), it.parts())).unwrap_or_default();
        let changes = match recorded {
            Ok(recorded) if parts.0 == 1 => Ok(recorded.into_changes()),
            Ok(_) => Err(missing(1, parts.1)),
            Err(error) => Err(error.to_string()),
        };
        let Event { id, correlation_id: correlation, recorded_at, .. } = event;
        let (correlation, recorded_at) = (*correlation, *recorded_at);
        Self { first: *id, event: *id, kind, correlation, recorded_at, changes, note, parts }
    }

    /// Adds an event if it is the next part; false if it is not.
    fn takes(&mut self, event: &Event, kind: RecordKind) -> bool {
        let (part, of) = self.parts;
        let fits = part < of && (kind, event.correlation_id) == (self.kind, self.correlation);
        let (true, Ok(changes)) = (fits, &mut self.changes) else { return false };
        match event.payload_as::<Recorded>() {
            Ok(recorded) if recorded.parts() == (part + 1, of) => {
                changes.extend(recorded.into_changes());
                (self.event, self.parts) = (event.id, (part + 1, of));
                true
            }
            _ => false,
        }
    }

    /// A record with missing parts counts for nothing.
    fn closed(mut self) -> Self {
        let (parts, of) = self.parts;
        if self.changes.is_ok() && parts != of {
            self.changes = Err(missing(parts + 1, of));
        }
        self
    }
}

fn missing(part: u32, of: u32) -> String {
    format!("it was recorded in {of} events, of which number {part} is missing")
}

/// The records of the config server among events, oldest first.
fn records(events: &[Arc<Event>]) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for event in events.iter().filter(|event| event.service() == Some(SERVER)) {
        let Some(kind) = RecordKind::ALL.into_iter().find(|kind| kind.event_kind() == event.kind) else { continue };
        if !records.last_mut().is_some_and(|last| last.takes(event, kind)) {
            records.push(Record::of(event, kind));
        }
    }
    records.into_iter().map(Record::closed).collect()
}

/// All records, oldest first.
fn all() -> Query {
    // However many there are, all of them count.
    Query::new().kinds(RecordKind::ALL.map(RecordKind::event_kind)).limit(usize::MAX)
}

/// The oldest event needed to know the changes at run time.
pub(super) fn baseline(records: &[Record]) -> Option<EventId> {
    let checkpoint = records.iter().rfind(|record| record.kind == RecordKind::Checkpoint && record.changes.is_ok());
    checkpoint.or_else(|| records.iter().find(|record| record.kind == RecordKind::Update)).map(|record| record.first)
}

/// The recorded changes of a value, or of everything in a section, oldest first.
fn history(records: Vec<Record>, section: &ConfigPath) -> Vec<ConfigRecord> {
    let of = |record: Record| {
        let Record { event, recorded_at, kind, note, .. } = record;
        let cause = if kind == RecordKind::Reload { ChangeCause::Reload } else { ChangeCause::Update };
        let changes = record.changes.unwrap_or_default().into_iter().filter(|change| change.path.is_within(section));
        changes.map(move |change| ConfigRecord { event, recorded_at, cause, change, note: note.clone() })
    };
    records.into_iter().filter(|record| record.kind != RecordKind::Checkpoint).flat_map(of).collect()
}

/// The value right after an event of each path that was changed at run time since; `None` if the event does not record
/// a change.
fn values_after(records: Vec<Record>, event: EventId) -> Option<BTreeMap<ConfigPath, Value>> {
    let mut is_known = false;
    let mut values = BTreeMap::new();
    for record in records {
        is_known |= (record.first..=record.event).contains(&event);
        if record.first <= event || record.kind != RecordKind::Update {
            continue;
        }
        for change in record.changes.unwrap_or_default() {
            // The first change after the event has the value at the event as its old one.
            values.entry(change.path).or_insert(change.old);
        }
    }
    is_known.then_some(values)
}

/// The events of the config server in the event store of its namespace.
#[derive(Clone)]
pub(super) struct Journal {
    events: EventStore,
    limits: Arc<ConfigServerLimits>,
}

/// The journal of a namespace.
impl From<&ServiceRegistry> for Journal {
    fn from(registry: &ServiceRegistry) -> Self {
        Self { events: EventStore::of(registry), limits: registry.extension(ConfigServerLimits::default) }
    }
}

impl Journal {
    /// The hold on the events that a next process needs.
    pub(super) fn hold(&self) -> &Hold {
        self.events.hold()
    }

    /// Why nothing can be recorded at present.
    pub(super) fn outage(&self) -> Option<Outage> {
        self.events.outage()
    }

    // ---- writing ----

    /// Records changes and returns the ids of the events, of which there are several if the changes exceed the size of
    /// one. They are recorded together, and count only together. A requested change has to fit in one.
    pub(super) async fn record(
        &self,
        kind: RecordKind,
        correlation: Uuid,
        changes: &[ConfigChange],
        note: &ChangeNote,
    ) -> Result<Vec<EventId>, EventStoreError> {
        // Before it is recorded: afterwards it might be pruned already.
        self.events.hold_from_here();
        let event = |part: &Recorded| part.event(kind, correlation);
        match self.events.append_batch(vec![event(&Recorded::new(changes, note))?]).await {
            Err(EventStoreError::Log(EventError::Refused {
                error: BatchError::PayloadTooLarge { limit, .. }, ..
            })) if kind != RecordKind::Update => {
                let parts = Recorded::split(changes, note, limit);
                self.events.append_batch(parts.iter().map(event).collect::<Result<_, _>>()?).await
            }
            recorded => recorded,
        }
    }

    /// Records that the files are refused. No caller waits for that, and none could handle an error.
    pub(super) fn note_refused_reload(&self, reason: &str) {
        let event =
            NewEvent::of(ConfigRecord::RELOAD_REFUSED).source(SERVER).payload(serde_json::json!({ "reason": reason }));
        if let Err(error) = event.map_err(EventStoreError::from).and_then(|event| self.events.note(vec![event])) {
            report(|| tracing::warn!(%error, "a refused reload is not recorded"));
        }
    }

    // ---- reading ----

    /// The recorded changes of a value, or of everything in a section, oldest first.
    pub(super) async fn history(&self, section: &ConfigPath) -> Result<Vec<ConfigRecord>, ConfigUpdateError> {
        Ok(history(self.records().await?, section))
    }

    /// The value right after an event of each path that was changed at run time since.
    pub(super) async fn values_after(&self, event: EventId) -> Result<BTreeMap<ConfigPath, Value>, ConfigUpdateError> {
        let records = self.records().await?;
        let newest_record = records.last().map(|record| record.event);
        values_after(records, event).ok_or(ConfigUpdateError::NoRecord { event, newest_record })
    }

    async fn records(&self) -> Result<Vec<Record>, ConfigUpdateError> {
        let events = self.events.query(all()).await;
        events.map(|events| records(&events)).map_err(ConfigUpdateError::NoHistory)
    }

    /// Every record after an event; waits for the store if it does not record.
    pub(super) async fn records_after(&self, seen: Option<EventId>) -> Result<Vec<Record>, ActorProcessingErr> {
        let mut pause = self.first_pause();
        loop {
            self.events.wait_until_up(self.limits.store_at_start).await?;
            if self.writer_answers().await
                && let Some(records) = self.shown_after(seen).await?
            {
                return Ok(records);
            }
            pause = self.paused(pause).await;
        }
    }

    /// The records after an event that the store can show now, and whether these are all: a store whose log has failed
    /// may have recorded more than it shows. There may be none if the caller knows the values in force before.
    pub(super) async fn records_at_start(
        &self,
        seen: Option<EventId>,
        may_be_none: bool,
    ) -> Result<(Vec<Record>, bool), ActorProcessingErr> {
        let mut pause = self.first_pause();
        loop {
            self.events.wait_until_readable(self.limits.store_at_start).await?;
            let is_all = self.writer_answers().await;
            if is_all || self.outage().is_some() {
                match self.shown_after(seen).await {
                    Ok(Some(records)) => return Ok((records, is_all)),
                    // A store that came back without its log shows nothing for now.
                    _ if may_be_none && self.outage().is_some() => return Ok((Vec::new(), false)),
                    Ok(None) => {}
                    Err(error) => return Err(error),
                }
            }
            pause = self.paused(pause).await;
        }
    }

    /// Whether the store's writer answers. Then all that was requested before is recorded and shown, or never will be: the
    /// writer does jobs in their order, and its log was opened with what its predecessor had recorded. A read alone does
    /// not say so: that of a store whose log has just failed succeeds and may show too little.
    async fn writer_answers(&self) -> bool {
        self.events.wait_until_settled().await.is_ok()
    }

    /// The records after an event that a store that runs shows; `None` if it ended meanwhile: its successor will answer.
    async fn shown_after(&self, seen: Option<EventId>) -> Result<Option<Vec<Record>>, ActorProcessingErr> {
        // Changes that were applied before are not read again; their records may be damaged.
        let new = seen.map_or_else(all, |seen| all().after(seen));
        match unless_transient(self.events.query(new).await) {
            Ok(events) => Ok(events.map(|events| records(&events))),
            // Asking again would change nothing; and without the damaged record the values might be wrong.
            Err(error @ EventStoreError::Damaged { .. }) => Err(damaged(&error).into()),
            Err(error) => Err(error.into()),
        }
    }

    /// The first pause before a store that runs and does not answer is asked again.
    fn first_pause(&self) -> Duration {
        // A pause of zero would be a busy loop.
        self.limits.ask_again_first.max(Duration::from_millis(1))
    }

    /// Waits for the pause, and returns the next one.
    async fn paused(&self, pause: Duration) -> Duration {
        #[expect(clippy::disallowed_methods, reason = "the delay is what this is for")]
        tokio::time::sleep(pause).await;
        pause.saturating_mul(2).min(self.limits.ask_again_longest.max(self.first_pause()))
    }
}

/// The answer of the store, or `None` for an error that may be gone the next time.
fn unless_transient<T>(answer: Result<T, EventStoreError>) -> Result<Option<T>, EventStoreError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(
            EventStoreError::NotDelivered { .. }
            | EventStoreError::NoAnswer { .. }
            | EventStoreError::Unavailable { .. },
        ) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Why a configuration does not start over a damaged record, and what to do about it.
fn damaged(error: &EventStoreError) -> String {
    format!(
        "the changes of the configuration at run time cannot be read: {error}; the event store's verify lists all damaged \
         rows, and its repair moves them aside"
    )
}

#[cfg(test)]
mod tests;
