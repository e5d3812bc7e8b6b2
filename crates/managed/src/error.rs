//! The errors of managed services.

use std::time::Duration;

use foundation_events::EventStoreError;
use foundation_kernel::names::{Namespace, ServiceName};

use super::kinds::{ConfigurationError, KindError};
use super::lifecycle::ServiceState;
use super::roster::error::RosterError;

/// Why a request about a managed service was not carried out.
///
/// Whether something was changed by it is said with each.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManagedError {
    /// It does not fit the services that are declared: an unknown service, a name that is taken, a circle of needs, too
    /// many services. Nothing is changed.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// The kind is unknown, or its code did not do what was asked. Nothing is changed.
    #[error("service {name}: {source}")]
    Kind {
        /// The service.
        name: ServiceName,
        /// What is wrong.
        #[source]
        source: KindError,
    },
    /// The configuration does not fit the kind. Nothing is changed.
    #[error("service {name}: its configuration as a {kind} is refused: {source}")]
    Configuration {
        /// The service.
        name: ServiceName,
        /// Its kind.
        kind: String,
        /// What is wrong, with the path.
        #[source]
        source: Box<ConfigurationError>,
    },
    /// The event store has not recorded it. Nothing is changed.
    #[error("service {name}: nothing is changed, as it cannot be recorded: {source}")]
    NotRecorded {
        /// The service.
        name: ServiceName,
        /// Why not.
        #[source]
        source: EventStoreError,
    },
    /// The event store has not answered. The request may be recorded, and is then carried out later.
    #[error("service {name}: it is not known whether it is recorded: {source}")]
    Unclear {
        /// The service.
        name: ServiceName,
        /// What happened instead.
        #[source]
        source: EventStoreError,
    },
    /// The service did not start. It stays wanted, and is started again when that is requested, when something that it
    /// lacked is back, or by the next process.
    #[error("service {name} did not start: {reason}")]
    Start {
        /// The service.
        name: ServiceName,
        /// Why not.
        reason: String,
    },
    /// It goes on although it was to be stopped. That is tried again.
    #[error("service {name} was not stopped: {reason}")]
    Stop {
        /// The service.
        name: ServiceName,
        /// What its supervisor said.
        reason: String,
    },
    /// The service was not replaced: it goes on with the configuration that it had.
    #[error("service {name} was not replaced, and goes on as it was: {reason}")]
    Replace {
        /// The service.
        name: ServiceName,
        /// Why not.
        reason: String,
    },
    /// The service is not healthy yet, or not stopped yet. What was requested goes on.
    #[error("service {name} is not {wanted} after {within:?}: it is {last}")]
    NotYet {
        /// The service.
        name: ServiceName,
        /// What was awaited.
        wanted: &'static str,
        /// How long.
        within: Duration,
        /// What it is.
        last: ServiceState,
    },
    /// Another request about the same service came before the end of this one.
    #[error("service {name}: another request came before this one was carried out")]
    Superseded {
        /// The service.
        name: ServiceName,
    },
    /// It would have to wait for the end of a batch, and as many requests wait as may. Nothing is changed.
    #[error("service {name}: {limit} requests wait for the end of a batch, as many as may: nothing is changed")]
    TooManyWaiting {
        /// The service.
        name: ServiceName,
        /// How many may wait.
        limit: usize,
    },
    /// The managed services are being shut down: nothing is begun any more.
    #[error("the managed services of namespace {namespace} are shut down, and nothing is begun any more")]
    ShuttingDown {
        /// The namespace.
        namespace: Namespace,
    },
    /// The manager does not run, or ended before it answered. What is recorded is carried out by the next one.
    #[error("the manager of namespace {namespace} did not answer: {reason}")]
    NoManager {
        /// The namespace.
        namespace: Namespace,
        /// Why not.
        reason: String,
    },
}
