//! Why no instance was found.

use foundation_kernel::names::{NearMisses, ServiceName};

use crate::criteria::NoneFitsError;

/// Why no instance was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// The service has no instance.
    #[error("there is no instance of {service}{near}")]
    NoService {
        /// The service.
        service: ServiceName,
        /// Services of similar names that have instances.
        near: NearMisses,
    },
    /// The service has instances, and none meets the criteria.
    #[error(transparent)]
    NoneFits(Box<NoneFitsError>),
}

impl From<NoneFitsError> for FindError {
    fn from(error: NoneFitsError) -> Self {
        Self::NoneFits(Box::new(error))
    }
}
