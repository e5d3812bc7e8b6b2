//! One step from a tree to the next, decided and not taken.

use super::change::ConfigChange;
use super::error::ConfigError;
use super::record::{CONFIG_RELOADED, CONFIG_UPDATED};
use super::transaction::Proposal;
use super::tree::ConfigTree;
use crate::events::EventKind;

pub(super) struct Step {
    /// What it is recorded as.
    pub(super) kind: EventKind,
    /// The values that change.
    pub(super) changes: Vec<ConfigChange>,
    /// What was asked for and is so already.
    pub(super) idle: Vec<ConfigChange>,
    pub(super) next: ConfigTree,
}

impl Step {
    /// What a proposal comes to. All of it is checked here, so that nothing is recorded that cannot be made.
    pub(super) fn propose(tree: &ConfigTree, proposal: Proposal) -> Result<Self, ConfigError> {
        Self::of(tree, proposal.decide(tree)?)
    }

    /// What changes that were decided on this tree come to.
    pub(super) fn of(tree: &ConfigTree, decided: Vec<ConfigChange>) -> Result<Self, ConfigError> {
        let (idle, changes): (Vec<_>, Vec<_>) = decided.into_iter().partition(ConfigChange::is_noop);
        let next = tree.apply_all(&changes)?;
        Ok(Self { kind: CONFIG_UPDATED, changes, idle, next })
    }

    /// What layers that were loaded again come to.
    pub(super) fn reload(tree: &ConfigTree, loaded: ConfigTree) -> Result<Self, ConfigError> {
        let (next, changes) = tree.rebase(loaded)?;
        Ok(Self { kind: CONFIG_RELOADED, changes, idle: Vec::new(), next })
    }
}
