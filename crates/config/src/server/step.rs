//! A step from one tree to the next, decided and not taken.

use super::change::ConfigChange;
use super::error::ConfigError;
use super::record::{CONFIG_RELOADED, CONFIG_UPDATED};
use super::transaction::Proposal;
use super::tree::ConfigTree;
use foundation_events::EventKind;

pub(super) struct Step {
    /// The kind of the event that records it.
    pub(super) kind: EventKind,
    /// The values that change.
    pub(super) changes: Vec<ConfigChange>,
    /// The requested changes that alter nothing.
    pub(super) idle: Vec<ConfigChange>,
    pub(super) next: ConfigTree,
}

impl Step {
    /// The step of a proposal. All of it is checked here, so that nothing is recorded that cannot be made.
    pub(super) fn propose(tree: &ConfigTree, proposal: Proposal) -> Result<Self, ConfigError> {
        Self::of(tree, proposal.decide(tree)?)
    }

    /// The step of changes that were decided on this tree.
    pub(super) fn of(tree: &ConfigTree, decided: Vec<ConfigChange>) -> Result<Self, ConfigError> {
        let (idle, changes): (Vec<_>, Vec<_>) = decided.into_iter().partition(ConfigChange::is_noop);
        let next = tree.apply_all(&changes)?;
        Ok(Self { kind: CONFIG_UPDATED, changes, idle, next })
    }

    /// The step to layers that were loaded again.
    pub(super) fn reload(tree: &ConfigTree, loaded: ConfigTree) -> Result<Self, ConfigError> {
        let (next, changes) = tree.rebase(loaded)?;
        Ok(Self { kind: CONFIG_RELOADED, changes, idle: Vec::new(), next })
    }
}
