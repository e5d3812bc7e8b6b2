//! What identifies and orders the children of one supervisor.

/// A child within its supervisor; given once and never again.
pub(crate) type Key = u64;

/// A child's index in the start order. A reconfiguration gives new ones.
pub(super) type StartIndex = u64;

/// The order of children: by start index.
pub(crate) type OrderKey = (StartIndex, Key);
