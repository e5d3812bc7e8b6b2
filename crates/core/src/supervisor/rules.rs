//! The rules that a supervisor's children are under.

use super::restart::{RestartIntensity, Strategy};

/// How the table treats its children.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) strategy: Strategy,
    pub(crate) intensity: RestartIntensity,
    pub(crate) roster: Roster,
}

/// Who is on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Roster {
    /// Ids are unique, and a child that does not run keeps its place.
    Fixed,
    /// Ids are labels, and a child that does not run is forgotten.
    OnDemand { max_children: usize },
}
