//! What can go wrong with telemetry.

use super::labels::LabelFault;
use super::name::MetricNameFault;

/// Why the telemetry service did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The name belongs to an instrument of another kind.
    #[error("{name} is a {found}, not a {wanted}; give the {wanted} another name")]
    WrongKind {
        /// The name.
        name: String,
        /// The kind that was asked for.
        wanted: &'static str,
        /// The kind that the name was first used for.
        found: &'static str,
    },
    /// The namespace has as many instruments as it may have.
    #[error("{name} cannot be made: the namespace has {limit} instruments, as many as it may have")]
    TooManyInstruments {
        /// The name of the one that was asked for.
        name: String,
        /// The limit.
        limit: usize,
    },
    /// The name is no name of an instrument.
    #[error("{name} is not the name of an instrument: {fault}")]
    InvalidName {
        /// The name, quoted, or its beginning.
        name: String,
        /// What is wrong with it.
        fault: MetricNameFault,
    },
    /// The labels are refused.
    #[error("{name} has no series of these labels: {fault}")]
    InvalidLabels {
        /// The name of the family.
        name: String,
        /// What is wrong with them.
        fault: LabelFault,
    },
    /// A handler of this id is attached.
    #[error("a telemetry handler {id:?} is already attached; detach it first")]
    AlreadyAttached {
        /// The id, shortened to 64 characters.
        id: String,
    },
    /// The service is not there, or did not answer.
    #[error("{reason}")]
    Unavailable {
        /// What happened.
        reason: String,
    },
}
