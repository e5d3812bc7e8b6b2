//! A service of a batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::server::prepared::Prepared;

/// What is known of the generations of a service during a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// The generation that has the name; [`UNSURE`](Self::UNSURE) while that may change.
    pub(crate) generation: Option<u64>,
    /// The generation that is to take its place.
    pub(crate) successor: Option<u64>,
}

impl Position {
    /// The generation of a service of which it is not known which one has the name: no service has it.
    pub(crate) const UNSURE: u64 = 0;
}

/// A service of a batch, with what is to be known to start each of its generations.
pub(crate) struct BatchMember {
    pub(crate) position: Position,
    pub(crate) prepared: BTreeMap<u64, Arc<Prepared>>,
}
