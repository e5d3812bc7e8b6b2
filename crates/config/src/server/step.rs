//! A step from one tree to the next, decided and not taken.
//!
//! A replay gives the result of recorded changes on a loaded configuration: one function for the running process, for a
//! server that takes over from an ended one, and for the next process. The last record about a value decides, whatever
//! the files said in between. So a running process has the same values as one that starts from the same files and the
//! same records.

use std::collections::BTreeMap;

use foundation_events::EventId;
use serde_json::Value;

use super::journal::{Record, RecordKind};
use super::transaction::{Op, Proposal};
use crate::values::{ConfigChange, ConfigError, ConfigPath, ConfigTree, Override};

pub(super) struct Step {
    /// What records it; `None` if nothing changes.
    pub(super) kind: Option<RecordKind>,
    /// The values that change; if nothing does, the changes that were requested.
    pub(super) changes: Vec<ConfigChange>,
    pub(super) next: ConfigTree,
}

/// The changes that could not be applied, and why.
type Refused = Vec<(EventId, String)>;

impl Step {
    /// The step of a proposal. All of it is checked here, so that nothing is recorded that cannot be applied.
    pub(super) fn propose(tree: &ConfigTree, proposal: &Proposal) -> Result<Self, ConfigError> {
        let decide = |(path, op): (&ConfigPath, &Op)| match op {
            Op::Set(value) => ConfigChange::decide(tree, path, value.clone()),
            Op::Reset => ConfigChange::reset(tree, path),
        };
        let decided: Vec<_> = match proposal {
            Proposal::These(ops) => ops.iter().map(decide).collect::<Result<_, _>>()?,
            Proposal::ResetAll => {
                tree.overrides().map(|(path, _)| ConfigChange::reset(tree, path)).collect::<Result<_, _>>()?
            }
        };
        let (idle, changes): (Vec<_>, Vec<_>) = decided.into_iter().partition(ConfigChange::is_noop);
        let next = tree.carry_out(&changes)?;
        Ok(match changes.is_empty() {
            true => Self { kind: None, changes: idle, next },
            false => Self { kind: Some(RecordKind::Update), changes, next },
        })
    }

    /// The step to layers that were loaded again.
    pub(super) fn reload(tree: &ConfigTree, loaded: &ConfigTree) -> Result<Self, ConfigError> {
        let (next, changes) = tree.rebase(loaded)?;
        let kind = (!changes.is_empty()).then_some(RecordKind::Reload);
        Ok(Self { kind, changes, next })
    }

    /// The step of recorded changes at run time, and those that could not be applied; reloads of files are not among them.
    /// It applies them as one: the states between them may not be valid with the files of today. No step if the overrides
    /// stay as they are.
    pub(super) fn replay(tree: &ConfigTree, records: &[Record]) -> (Option<Self>, Refused) {
        let mut replay = Replay::on(tree);
        records.iter().for_each(|record| replay.add(record));
        let (next, refused) = match tree.with_overrides(replay.overrides) {
            Ok(next) => (next, replay.refused),
            // The files have changed, or a record is forged.
            Err(_) => one_by_one(tree, records),
        };
        let last = records.iter().rfind(|record| record.kind != RecordKind::Reload);
        let step = last.zip(tree.replaced_by(next));
        (step.map(|(last, (next, changes))| Self { kind: Some(last.kind), changes, next }), refused)
    }
}

/// All changes at run time that are in force, to be recorded anew. Their old values are left out: they are not needed to
/// apply the changes, and would make them larger than when each was recorded.
pub(super) fn checkpoint(tree: &ConfigTree) -> Vec<ConfigChange> {
    let change = |(path, new): (&ConfigPath, &Value)| {
        let (path, new) = (path.clone(), new.clone());
        ConfigChange { path, old: Value::Null, new, reset: false }
    };
    tree.overrides().map(change).collect()
}

/// Applies each record separately that leads to a valid configuration, and of a checkpoint each change that does: an
/// invalid one must not affect the others.
fn one_by_one(tree: &ConfigTree, records: &[Record]) -> (ConfigTree, Refused) {
    let (mut next, mut refused) = (tree.clone(), Vec::new());
    for record in records {
        let mut replay = Replay::on(&next);
        replay.add(record);
        refused.append(&mut replay.refused);
        match next.with_overrides(replay.overrides) {
            Ok(tree) => next = tree,
            Err(_) if record.kind == RecordKind::Checkpoint => next = change_by_change(tree, record, &mut refused),
            Err(error) => refused.push((record.event, error.to_string())),
        }
    }
    (next, refused)
}

fn change_by_change(tree: &ConfigTree, checkpoint: &Record, refused: &mut Refused) -> ConfigTree {
    // The layers alone are valid: they were loaded so.
    let mut next = tree.with_overrides(BTreeMap::new()).unwrap_or_else(|_| tree.clone());
    for ConfigChange { path, new, .. } in checkpoint.changes.iter().flatten() {
        // A change that does not fit is refused already.
        let Ok(fit) = next.fit(path, new) else { continue };
        let mut overrides = next.fitted_overrides();
        overrides.insert(path.clone(), fit);
        match next.with_overrides(overrides) {
            Ok(tree) => next = tree,
            Err(error) => refused.push((checkpoint.event, error.to_string())),
        }
    }
    next
}

/// The overrides of a tree while records are applied to them.
struct Replay<'a> {
    tree: &'a ConfigTree,
    overrides: BTreeMap<ConfigPath, Override>,
    refused: Refused,
}

impl<'a> Replay<'a> {
    fn on(tree: &'a ConfigTree) -> Self {
        Self { tree, overrides: tree.fitted_overrides(), refused: Vec::new() }
    }

    fn add(&mut self, record: &Record) {
        let changes = match &record.changes {
            Err(reason) => return self.refused.push((record.event, reason.clone())),
            Ok(_) if record.kind == RecordKind::Reload => return,
            Ok(changes) => changes,
        };
        let fits: Vec<_> = changes.iter().map(|change| self.tree.fit(&change.path, &change.new)).collect();
        if record.kind == RecordKind::Checkpoint {
            self.overrides.clear();
        } else if let Some(error) = fits.iter().find_map(undeclared) {
            return self.refused.push((record.event, error.to_string()));
        }
        for (ConfigChange { path, reset, .. }, fit) in changes.iter().zip(fits) {
            match fit {
                _ if *reset => drop(self.overrides.remove(path)),
                Ok(fit) => drop(self.overrides.insert(path.clone(), fit)),
                // A change that does not fit today's files leaves the value before it.
                Err(error) => self.refused.push((record.event, error.to_string())),
            }
        }
    }
}

/// The error of a change that could not have been recorded, whatever the files said: it is forged, or of another
/// program.
fn undeclared(fit: &Result<Override, ConfigError>) -> Option<&ConfigError> {
    let is_undeclared = |error: &&ConfigError| {
        use ConfigError::{NotUpdatable, OverLimit, Secret};
        matches!(error, Secret { .. } | NotUpdatable { .. } | OverLimit { .. })
    };
    fit.as_ref().err().filter(is_undeclared)
}
