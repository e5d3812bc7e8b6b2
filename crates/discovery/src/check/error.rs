//! Why a check was not declared.

use foundation_kernel::names::ServiceName;

/// Why a check was not declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeclareCheckError {
    /// The namespace has as many declared checks as it may have.
    #[error("check {check:?} cannot be declared: there are {limit} declared checks, as many as there may be")]
    TooMany {
        /// The check that was to be the next.
        check: String,
        /// The limit.
        limit: usize,
    },
    /// A check of the same name is declared, and its instances may be the same.
    #[error("a check {check:?} of {} is declared already: end it, or give this one another name", of(.service))]
    NameTaken {
        /// The name.
        check: String,
        /// The service of the other one; `None` if it is of all services.
        service: Option<ServiceName>,
    },
}

fn of(service: &Option<ServiceName>) -> String {
    service.as_ref().map_or_else(|| "all services".to_owned(), ToString::to_string)
}
