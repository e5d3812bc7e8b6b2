use foundation_events::EventId;
use serde::Serialize;

use super::note::ChangeNote;
use crate::values::ConfigChange;

/// One or more changes that were recorded and applied together.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ConfigCommit {
    /// The values that changed, each once. If nothing changed, the changes that were requested.
    pub changes: Vec<ConfigChange>,
    /// The generation of the configuration that it led to.
    pub generation: u64,
    /// The event that records it, the last one if it takes several; `None` if nothing was changed, or if the change
    /// could not be recorded and need not be.
    pub event: Option<EventId>,
    /// Who changed it, and why.
    pub note: ChangeNote,
}

impl ConfigCommit {
    /// Its changes, one by one.
    pub(super) fn changed(&self) -> impl Iterator<Item = ConfigChanged> {
        let Self { changes, generation, event, note } = self;
        changes.iter().map(move |change| ConfigChanged {
            change: change.clone(),
            generation: *generation,
            event: *event,
            note: note.clone(),
        })
    }
}

/// One change that has been recorded and applied.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ConfigChanged {
    /// Path, old value and new value; those of secrets are `"[redacted]"`.
    pub change: ConfigChange,
    /// The generation of the configuration that it led to; changes that were applied together share it.
    pub generation: u64,
    /// The event that records it; `None` if the value was the same already, or if the change could not be recorded and
    /// need not be.
    pub event: Option<EventId>,
    /// Who changed it, and why.
    pub note: ChangeNote,
}
