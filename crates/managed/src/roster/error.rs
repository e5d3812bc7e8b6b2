//! Why a request to the roster is refused.

use foundation_kernel::names::{NearMisses, ServiceName};

use crate::needs::NeedCycleError;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RosterError {
    /// No service of this name is declared.
    #[error("no service {name} is declared{near}")]
    UnknownService {
        /// The name.
        name: ServiceName,
        /// Declared services with names like it.
        near: NearMisses,
    },
    /// A service of this name is declared already.
    #[error("service {name} is declared already, as a {kind}; configure it, or remove it first")]
    AlreadyDeclared {
        /// The name.
        name: ServiceName,
        /// The kind of the service that has it.
        kind: String,
    },
    /// Services would need each other in a circle.
    #[error("service {name}: {source}")]
    Cycle {
        /// The service that the request is about.
        name: ServiceName,
        /// The circle.
        #[source]
        source: NeedCycleError,
    },
    /// There are as many services as there may be.
    #[error("service {name} cannot be declared: there are {limit} services, as many as there may be")]
    TooMany {
        /// The name.
        name: ServiceName,
        /// The limit.
        limit: usize,
    },
}
