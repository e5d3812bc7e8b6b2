//! What is recorded of changes, and what is read out of the records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::change::ConfigChange;
use super::note::ChangeNote;
use super::path::ConfigPath;
use super::transaction::{Proposal, Wish};
use super::tree::ConfigTree;
use crate::events::{Event, EventError, EventId, EventKind, Query};

/// The name of the config server in each namespace, which is the source of its events.
pub(super) const SERVER: &str = "config_server";
/// What a change at run time is recorded as.
pub(super) const CONFIG_UPDATED: EventKind = EventKind::from_static("config_updated");
/// What a change of the files is recorded as.
pub(super) const CONFIG_RELOADED: EventKind = EventKind::from_static("config_reloaded");
/// What holds of all changes at run time is recorded as this, when older events are to be forgotten.
pub(super) const CONFIG_CHECKPOINT: EventKind = EventKind::from_static("config_checkpoint");
/// What is recorded when changed files are not taken.
pub(super) const CONFIG_RELOAD_REFUSED: EventKind = EventKind::from_static("config_reload_refused");

/// One change of a value, as it was recorded.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ConfigRecord {
    /// The event that records it.
    pub event: EventId,
    /// When it was recorded.
    #[serde(with = "foundation_core::written::rfc3339")]
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
    /// Somebody asked for it at run time.
    Update,
    /// A file has changed.
    Reload,
}

/// The payload of an event about changes: one of them as it is, several in a list.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Recorded {
    #[serde(flatten)]
    what: What,
    #[serde(flatten)]
    pub(super) note: ChangeNote,
}

#[derive(Debug, Serialize, Deserialize)]
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
        Self { what, note: note.clone() }
    }

    /// All changes at run time that hold, as one would make them on the layers below.
    pub(super) fn checkpoint(tree: &ConfigTree) -> Self {
        let change = |(path, new): (&ConfigPath, &Value)| ConfigChange {
            path: path.clone(),
            old: tree.below(path).cloned().unwrap_or_default(),
            new: new.clone(),
        };
        Self { what: What::Several { changes: tree.overrides().map(change).collect() }, note: ChangeNote::default() }
    }

    pub(super) fn read(event: &Event) -> Result<Self, EventError> {
        event.payload_as()
    }

    pub(super) fn into_changes(self) -> Vec<ConfigChange> {
        match self.what {
            What::One(change) => vec![change],
            What::Several { changes } => changes,
        }
    }
}

/// All records, oldest first.
pub(super) fn all() -> Query {
    // However many there are, all of them count.
    Query::new().kinds([CONFIG_UPDATED, CONFIG_RELOADED, CONFIG_CHECKPOINT]).limit(usize::MAX)
}

/// The oldest record that it takes to know what was changed at run time.
pub(super) fn baseline<'a>(events: impl DoubleEndedIterator<Item = &'a Arc<Event>> + Clone) -> Option<EventId> {
    let checkpoint = events.clone().rfind(|event| event.kind == CONFIG_CHECKPOINT);
    checkpoint.or_else(|| events.clone().find(|event| event.kind == CONFIG_UPDATED)).map(|event| event.id)
}

/// The events of the config server among others of the same kinds.
pub(super) fn ours(events: &[Arc<Event>]) -> impl DoubleEndedIterator<Item = &Arc<Event>> + Clone {
    events.iter().filter(|event| event.service() == Some(SERVER))
}

/// What the records say about a value, or about everything in a section, oldest first.
pub(super) fn history<'a>(events: impl Iterator<Item = &'a Arc<Event>>, section: &ConfigPath) -> Vec<ConfigRecord> {
    let changed = events.filter(|event| event.kind != CONFIG_CHECKPOINT);
    let records = changed.filter_map(|event| {
        let recorded = Recorded::read(event).ok()?;
        let (note, changes) = (recorded.note.clone(), recorded.into_changes());
        let cause = if event.kind == CONFIG_RELOADED { ChangeCause::Reload } else { ChangeCause::Update };
        let (event, recorded_at) = (event.id, event.recorded_at);
        let within = changes.into_iter().filter(|change| change.path.is_within(section));
        Some(within.map(move |change| ConfigRecord { event, recorded_at, cause, change, note: note.clone() }))
    });
    records.flatten().collect()
}

/// What brings each value that was changed at run time after an event back to what it was then; `None` if the event is
/// no record of a change.
pub(super) fn undo<'a>(events: impl Iterator<Item = &'a Arc<Event>>, to: EventId) -> Option<Proposal> {
    let mut is_known = false;
    let mut wishes = BTreeMap::new();
    for event in events {
        is_known |= event.id == to;
        if event.id <= to || event.kind != CONFIG_UPDATED {
            continue;
        }
        for change in Recorded::read(event).map(Recorded::into_changes).unwrap_or_default() {
            // The first change after the event has the value at the event as its old one.
            wishes.entry(change.path).or_insert(Wish::Set(change.old));
        }
    }
    is_known.then_some(Proposal::These(wishes))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::events::NewEvent;

    fn recorded(kinds: &[EventKind]) -> Vec<Arc<Event>> {
        let event = |(id, kind): (u64, &EventKind)| {
            let id = EventId::new(id).unwrap();
            Arc::new(NewEvent::of(kind.clone()).source(SERVER).record(id, "production", UNIX_EPOCH))
        };
        (1..).zip(kinds).map(event).collect()
    }

    proptest! {
        #[test]
        fn the_baseline_is_the_newest_checkpoint_or_without_one_the_first_update(
            kinds in prop::collection::vec(select(vec![CONFIG_UPDATED, CONFIG_RELOADED, CONFIG_CHECKPOINT]), 0..12),
        ) {
            let events = recorded(&kinds);
            let place = |at: Option<usize>| at.and_then(|at| EventId::new(at as u64 + 1));
            let checkpoint = place(kinds.iter().rposition(|kind| *kind == CONFIG_CHECKPOINT));
            let expected = checkpoint.or(place(kinds.iter().position(|kind| *kind == CONFIG_UPDATED)));
            prop_assert_eq!(baseline(ours(&events)), expected);
        }
    }

    #[test]
    fn what_others_have_recorded_is_no_baseline() {
        let foreign = NewEvent::of(CONFIG_CHECKPOINT).source("shop").record(EventId::FIRST, "production", UNIX_EPOCH);
        assert_eq!(baseline(ours(&[Arc::new(foreign)])), None);
    }
}
