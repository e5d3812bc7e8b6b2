//! The result of applying recorded changes to a loaded configuration: one function for the running process, for a
//! server that takes over from an ended one, and for the next process.
//!
//! The last record about a value decides, whatever the files said in between. So a running process has the same values
//! as one that starts from the same files and the same records.

use super::change::{ConfigChange, not_updatable};
use super::error::ConfigError;
use super::origin::Origin;
use super::record::{CONFIG_CHECKPOINT, CONFIG_UPDATED, Record};
use super::tree::{ConfigTree, Overrides};
use foundation_events::EventId;

/// The result of a replay.
pub(super) struct Replayed {
    /// The tree with all changes that could be made; of the same generation.
    pub(super) next: ConfigTree,
    /// The changes that could not be made, and why.
    pub(super) refused: Vec<(EventId, String)>,
}

/// The overrides of a tree while records are applied to them.
struct Replay<'a> {
    /// The layers without any override.
    base: &'a ConfigTree,
    overrides: Overrides,
    refused: Vec<(EventId, String)>,
}

/// Makes the recorded changes at run time; reloads of files are not among them.
pub(super) fn replay(tree: &ConfigTree, records: &[&Record]) -> Replayed {
    let base = tree.without_overrides();
    let mut replay = Replay { base: &base, overrides: tree.overrides_as_recorded().clone(), refused: Vec::new() };
    records.iter().for_each(|record| replay.add(record));
    match base.clone().with_overrides(replay.overrides) {
        Ok(next) => Replayed { next, refused: replay.refused },
        // The files have changed, or a record is forged.
        Err(_) => one_by_one(tree, &base, records),
    }
}

/// Makes each record separately that leads to a valid configuration, and of a checkpoint each change that does: an
/// invalid one must not affect the others.
fn one_by_one(tree: &ConfigTree, base: &ConfigTree, records: &[&Record]) -> Replayed {
    let (mut next, mut refused) = (tree.clone(), Vec::new());
    for record in records {
        let mut replay = Replay { base, overrides: next.overrides_as_recorded().clone(), refused: Vec::new() };
        replay.add(record);
        refused.append(&mut replay.refused);
        match base.clone().with_overrides(replay.overrides) {
            Ok(tree) => next = tree,
            Err(_) if record.kind == CONFIG_CHECKPOINT => next = change_by_change(base, record, &mut refused),
            Err(error) => refused.push((record.event, error.to_string())),
        }
    }
    Replayed { next, refused }
}

fn change_by_change(base: &ConfigTree, checkpoint: &Record, refused: &mut Vec<(EventId, String)>) -> ConfigTree {
    let mut next = base.clone();
    for change in checkpoint.changes.iter().flatten() {
        let mut overrides = next.overrides_as_recorded().clone();
        overrides.insert(change.path.clone(), change.new.clone());
        match base.clone().with_overrides(overrides) {
            Ok(tree) => next = tree,
            Err(error) => refused.push((checkpoint.event, error.to_string())),
        }
    }
    next
}

impl Replay<'_> {
    fn add(&mut self, record: &Record) {
        match &record.changes {
            Ok(changes) if record.kind == CONFIG_CHECKPOINT => {
                self.overrides.clear();
                changes.iter().for_each(|change| self.add_change(record.event, change));
            }
            Ok(changes) if record.kind == CONFIG_UPDATED => match self.first_undeclared(changes) {
                Some(error) => self.refused.push((record.event, error.to_string())),
                None => changes.iter().for_each(|change| self.add_change(record.event, change)),
            },
            Ok(_) => {}
            Err(reason) => self.refused.push((record.event, reason.clone())),
        }
    }

    /// The error of a change that could not have been recorded, whatever the files said: it is forged, or of another
    /// program.
    fn first_undeclared(&self, changes: &[ConfigChange]) -> Option<ConfigError> {
        changes.iter().find_map(|change| match change {
            ConfigChange { path, .. } if self.base.hides(path.as_str()) => {
                Some(ConfigError::Secret { path: path.to_string() })
            }
            ConfigChange { path, .. } if !self.base.may_change(path) => Some(not_updatable(self.base, path)),
            ConfigChange { path, new, .. } => self.base.limits().check_value(path, new, &Origin::Override).err(),
        })
    }

    /// A change that does not fit today's files leaves the value before it.
    fn add_change(&mut self, event: EventId, change: &ConfigChange) {
        let ConfigChange { path, new, reset, .. } = change;
        if *reset {
            self.overrides.remove(path);
            return;
        }
        match ConfigChange::decide(self.base, path, new.clone()) {
            Ok(_) => drop(self.overrides.insert(path.clone(), new.clone())),
            Err(error) => self.refused.push((event, error.to_string())),
        }
    }
}
