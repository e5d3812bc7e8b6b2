//! Records of changes: how they are written as events and read back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::change::ConfigChange;
use super::note::ChangeNote;
use super::path::ConfigPath;
use super::transaction::{Op, Proposal};
use super::tree::ConfigTree;
use foundation_events::json::json_bytes;
use foundation_events::{Event, EventId, EventKind, Query};

/// The name of the config server in each namespace, which is the source of its events.
pub(super) const SERVER: &str = "config_server";
/// The event kind of a change at run time.
pub(super) const CONFIG_UPDATED: EventKind = EventKind::from_static("config_updated");
/// The event kind of a change of the files.
pub(super) const CONFIG_RELOADED: EventKind = EventKind::from_static("config_reloaded");
/// The event kind of a checkpoint: all changes at run time in force, recorded before older events are pruned.
pub(super) const CONFIG_CHECKPOINT: EventKind = EventKind::from_static("config_checkpoint");
/// The event kind of a refused reload.
pub(super) const CONFIG_RELOAD_REFUSED: EventKind = EventKind::from_static("config_reload_refused");

/// One change of a value, as it was recorded.
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
pub(super) struct Recorded {
    #[serde(flatten)]
    what: What,
    #[serde(flatten)]
    pub(super) note: ChangeNote,
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
    pub(super) fn new(changes: &[ConfigChange], note: &ChangeNote) -> Self {
        let what = match changes {
            [one] => What::One(one.clone()),
            several => What::Several { changes: several.to_vec() },
        };
        Self { what, note: note.clone(), part: None, of: None }
    }

    /// All changes at run time that are in force. Their old values are left out: they are not needed to make the
    /// changes, and would make them larger than when each was recorded.
    pub(super) fn checkpoint(tree: &ConfigTree) -> Vec<ConfigChange> {
        let change = |(path, new): (&ConfigPath, &Value)| {
            let (path, new) = (path.clone(), new.clone());
            ConfigChange { path, old: Value::Null, new, reset: false }
        };
        tree.overrides().map(change).collect()
    }

    /// The same changes in as few parts as possible, each of at most `max_bytes` bytes, in their order. A larger change
    /// is a part by itself. The note is in the first part.
    pub(super) fn split(changes: &[ConfigChange], note: &ChangeNote, max_bytes: usize) -> Vec<Self> {
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
    pub(super) first: EventId,
    /// The last of its events, which identifies it.
    pub(super) event: EventId,
    pub(super) kind: EventKind,
    pub(super) correlation: Uuid,
    recorded_at: SystemTime,
    /// The changes, or why the events do not say what changed.
    pub(super) changes: Result<Vec<ConfigChange>, String>,
    pub(super) note: ChangeNote,
    parts: (u32, u32),
}

impl Record {
    /// The record that begins with this event, or one without changes if the event is not a first part.
    fn of(event: &Event) -> Self {
        let recorded: Result<Recorded, _> = event.payload_as();
        let (note, parts) = recorded.as_ref().map(|it| (it.note.clone(), it.parts())).unwrap_or_default();
        let changes = match recorded {
            Ok(recorded) if parts.0 == 1 => Ok(recorded.into_changes()),
            Ok(_) => Err(missing(1, parts.1)),
            Err(error) => Err(error.to_string()),
        };
        let Event { id, kind, correlation_id: correlation, recorded_at, .. } = event;
        let (kind, correlation, recorded_at) = (kind.clone(), *correlation, *recorded_at);
        Self { first: *id, event: *id, kind, correlation, recorded_at, changes, note, parts }
    }

    /// Adds an event if it is the next part; false if it is not.
    fn takes(&mut self, event: &Event) -> bool {
        let (part, of) = self.parts;
        let fits = part < of && (&event.kind, event.correlation_id) == (&self.kind, self.correlation);
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

/// The records in events of the config server, oldest first.
pub(super) fn records<'a>(events: impl Iterator<Item = &'a Arc<Event>>) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for event in events {
        if !records.last_mut().is_some_and(|last| last.takes(event)) {
            records.push(Record::of(event));
        }
    }
    records.into_iter().map(Record::closed).collect()
}

/// All records, oldest first.
pub(super) fn all() -> Query {
    // However many there are, all of them count.
    Query::new().kinds([CONFIG_UPDATED, CONFIG_RELOADED, CONFIG_CHECKPOINT]).limit(usize::MAX)
}

/// The oldest event needed to know the changes at run time.
pub(super) fn baseline(records: &[Record]) -> Option<EventId> {
    let checkpoint = records.iter().rfind(|record| record.kind == CONFIG_CHECKPOINT && record.changes.is_ok());
    checkpoint.or_else(|| records.iter().find(|record| record.kind == CONFIG_UPDATED)).map(|record| record.first)
}

/// The events of the config server among others of the same kinds.
pub(super) fn ours(events: &[Arc<Event>]) -> impl DoubleEndedIterator<Item = &Arc<Event>> + Clone {
    events.iter().filter(|event| event.service() == Some(SERVER))
}

/// The recorded changes of a value, or of everything in a section, oldest first.
pub(super) fn history(records: Vec<Record>, section: &ConfigPath) -> Vec<ConfigRecord> {
    let changed = records.into_iter().filter(|record| record.kind != CONFIG_CHECKPOINT);
    let of = |record: Record| {
        let Record { event, recorded_at, kind, note, .. } = record;
        let cause = if kind == CONFIG_RELOADED { ChangeCause::Reload } else { ChangeCause::Update };
        let changes = record.changes.unwrap_or_default().into_iter().filter(|change| change.path.is_within(section));
        changes.map(move |change| ConfigRecord { event, recorded_at, cause, change, note: note.clone() })
    };
    changed.flat_map(of).collect()
}

/// The proposal that restores each value changed at run time after an event; `None` if the event does not record a
/// change.
pub(super) fn undo(records: Vec<Record>, to: EventId) -> Option<Proposal> {
    let mut is_known = false;
    let mut ops = BTreeMap::new();
    for record in records {
        is_known |= (record.first..=record.event).contains(&to);
        if record.first <= to || record.kind != CONFIG_UPDATED {
            continue;
        }
        for change in record.changes.unwrap_or_default() {
            // The first change after the event has the value at the event as its old one.
            ops.entry(change.path).or_insert(Op::Set(change.old));
        }
    }
    is_known.then_some(Proposal::These(ops))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::json;

    use super::*;
    use foundation_events::NewEvent;

    fn recorded(events: impl IntoIterator<Item = NewEvent>) -> Vec<Arc<Event>> {
        let event = |(id, event): (u64, NewEvent)| {
            Arc::new(event.source(SERVER).record(EventId::new(id).unwrap(), "production", UNIX_EPOCH))
        };
        (1..).zip(events).map(event).collect()
    }

    fn event(kind: &EventKind, payload: &Recorded) -> NewEvent {
        NewEvent::of(kind.clone()).payload(payload).unwrap()
    }

    fn change(path: &str, new: &str) -> ConfigChange {
        ConfigChange { path: ConfigPath::new(path).unwrap(), old: Value::Null, new: json!(new), reset: false }
    }

    fn changes() -> impl Strategy<Value = Vec<ConfigChange>> {
        vec(("[a-z]{1,9}", "[ -~é\n]{0,40}").prop_map(|(path, new)| change(&path, &new)), 2..30)
    }

    fn parts_of(kind: &EventKind, parts: Vec<Recorded>) -> Vec<NewEvent> {
        let correlation = Uuid::now_v7();
        parts.iter().map(|part| event(kind, part).correlation(correlation)).collect()
    }

    proptest! {
        #[test]
        fn the_baseline_is_the_newest_checkpoint_or_without_one_the_first_update(
            kinds in vec(select(vec![CONFIG_UPDATED, CONFIG_RELOADED, CONFIG_CHECKPOINT]), 0..12),
        ) {
            let one = Recorded::new(&[change("a", "x")], &ChangeNote::default());
            let events = recorded(kinds.iter().map(|kind| event(kind, &one)));
            let place = |at: Option<usize>| at.and_then(|at| EventId::new(at as u64 + 1));
            let checkpoint = place(kinds.iter().rposition(|kind| *kind == CONFIG_CHECKPOINT));
            let expected = checkpoint.or(place(kinds.iter().position(|kind| *kind == CONFIG_UPDATED)));
            prop_assert_eq!(baseline(&records(ours(&events))), expected);
        }

        #[test]
        fn what_is_split_is_joined_again_and_no_part_is_larger_than_it_may_be(
            changes in changes(), author in "[ -~]{0,20}", max_bytes in 0..2_000_usize,
        ) {
            let note = ChangeNote::by(author);
            let parts = Recorded::split(&changes, &note, max_bytes);
            for part in &parts {
                prop_assert!(bytes(part) <= max_bytes || part.clone().into_changes().len() == 1);
            }
            let count = parts.len() as u64;
            let events = recorded(parts_of(&CONFIG_CHECKPOINT, parts));
            let [joined] = <[Record; 1]>::try_from(records(ours(&events))).unwrap();
            prop_assert_eq!(joined.changes.unwrap(), changes);
            prop_assert_eq!((joined.first.get(), joined.event.get(), joined.note), (1, count, note));
        }

        /// Whichever part of a record in several events is lost, its other parts count for nothing, and the records
        /// around it are read in full.
        #[test]
        fn a_record_of_which_a_part_is_missing_counts_for_nothing(
            changes in changes(), lost in vec(any::<bool>(), 30), swapped in any::<bool>(),
        ) {
            let around = event(&CONFIG_UPDATED, &Recorded::new(&[change("around", "x")], &ChangeNote::default()));
            let mut parts = parts_of(&CONFIG_CHECKPOINT, Recorded::split(&changes, &ChangeNote::default(), 100));
            let whole = parts.len();
            let mut keep = lost.into_iter().map(|lost| !lost);
            parts.retain(|_| keep.next().unwrap());
            if swapped {
                parts.reverse();
            }
            prop_assume!((parts.len() < whole || swapped) && whole > 1);
            let events = recorded([around.clone()].into_iter().chain(parts).chain([around]));
            let records = records(ours(&events));
            let (checkpoints, updates): (Vec<_>, Vec<_>) =
                records.iter().partition(|record| record.kind == CONFIG_CHECKPOINT);
            prop_assert!(checkpoints.iter().all(|record| record.changes.is_err()));
            prop_assert!(updates.len() == 2 && updates.iter().all(|record| record.changes.is_ok()));
            prop_assert_eq!(baseline(&records), Some(EventId::FIRST));
        }
    }

    #[test]
    fn what_others_have_recorded_is_no_baseline() {
        let foreign = NewEvent::of(CONFIG_CHECKPOINT).source("shop").record(EventId::FIRST, "production", UNIX_EPOCH);
        assert_eq!(baseline(&records(ours(&[Arc::new(foreign)]))), None);
    }
}
