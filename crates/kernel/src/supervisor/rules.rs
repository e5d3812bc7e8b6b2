//! The rules that a supervisor's children are under.

use super::backoff::Backoff;
use super::child_spec::ChildSpec;
use super::error::SpecError;
use super::restart::{Restart, RestartIntensity, Strategy};
use super::significant::AutoShutdown;

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

impl ChildSet {
    /// Whether children are started on demand; there may be thousands of them.
    pub(crate) const fn is_on_demand(self) -> bool {
        matches!(self, Self::Dynamic { .. })
    }

    /// The name of a supervisor with such a set of children.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Dynamic { .. } => "dynamic",
        }
    }
}

impl Rules {
    /// Refuses invalid rules, and a significant child where its significance could have no effect.
    pub(crate) fn check(&self, child: &ChildSpec) -> Result<(), SpecError> {
        child.check()?;
        if !child.is_significant() {
            return Ok(());
        }
        let id = child.id().clone();
        match (self.child_set, self.auto_shutdown, child.restart_rule()) {
            (ChildSet::Dynamic { .. }, ..) => Err(SpecError::SignificantOnDemand { id }),
            (_, AutoShutdown::Never, _) => Err(SpecError::SignificantInVain { id }),
            (_, _, Restart::Permanent) => Err(SpecError::SignificantPermanent { id }),
            _ => Ok(()),
        }
    }
}
