//! The rules that a supervisor's children are under.

use crate::supervisor::backoff::Backoff;
use crate::supervisor::child_rules::AutoShutdown;
use crate::supervisor::restart::{RestartIntensity, Strategy};

/// The rules that the table applies to its children.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) strategy: Strategy,
    pub(crate) intensity: RestartIntensity,
    pub(crate) auto_shutdown: AutoShutdown,
    pub(crate) child_set: ChildSet,
    /// For children that have no backoff of their own.
    pub(crate) backoff: Backoff,
}

/// The kind of the set of children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChildSet {
    /// Ids are unique, and a child that does not run keeps its place.
    Static,
    /// Ids are labels, and a child that does not run is forgotten.
    Dynamic { max_children: usize },
}
