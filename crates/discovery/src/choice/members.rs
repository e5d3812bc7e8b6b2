//! The members of a rotation.

use super::locality::Locality;

/// An instance that takes part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Member {
    /// Its place among the instances.
    pub(crate) at: usize,
    /// Its weight after the slow start.
    pub(crate) weight: f64,
    /// One by the weight: each choice multiplies with it, which takes a fifth of the time of a division.
    pub(crate) per_weight: f64,
    pub(crate) tier: Locality,
}

impl Member {
    pub(crate) fn new(at: usize, weight: f64, tier: Locality) -> Self {
        Self { at, weight, per_weight: 1.0 / weight, tier }
    }
}

/// The members that a policy chooses among.
pub(crate) struct Among<'r, I: ?Sized> {
    pub(crate) members: &'r [Member],
    pub(crate) instances: &'r I,
}
