//! The errors of telemetry.

use foundation_kernel::instruments::BoundsError;

use crate::labels::LabelError;
use crate::name::MetricNameError;
use crate::unit::Unit;

/// Why the telemetry service did not do what it was asked.
///
/// A message contains that of the error that caused it, which is a field and not returned as a source a second time.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
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
    /// The name of an instrument, or the pattern of a handler, is not a valid one.
    #[error(transparent)]
    InvalidName(#[from] MetricNameError),
    /// The name would become that of another instrument in Prometheus' text.
    #[error(
        "{name} cannot be made: in Prometheus' text it would be {exposed}, as {owner} is; give one of them another name"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// The first name that both would have there.
        exposed: String,
        /// The instrument that has it.
        owner: String,
    },
    /// The name is that of something that the foundation measures itself; it can only be read.
    #[error("{name} is measured by the foundation itself; give the instrument another name")]
    BuiltIn {
        /// The name.
        name: String,
    },
    /// The bounds of a histogram are refused.
    #[error("{name} cannot count at these bounds: {error}")]
    InvalidBounds {
        /// The name of the histogram.
        name: String,
        /// What is wrong with them.
        error: BoundsError,
    },
    /// The histogram has values already, or other bounds.
    #[error("{name} is in use with other bounds; choose them before its first use, and once")]
    BoundsFixed {
        /// The name of the histogram.
        name: String,
    },
    /// The name ends in another unit.
    #[error("{name} is in {found}, as its name ends, and not in {wanted}; give it another name")]
    UnitInName {
        /// The name.
        name: String,
        /// The unit that was asked for.
        wanted: Unit,
        /// The unit in which the name ends.
        found: Unit,
    },
    /// The labels are refused.
    #[error("{name} has no series of these labels: {error}")]
    InvalidLabels {
        /// The name of the family.
        name: String,
        /// What is wrong with them.
        error: LabelError,
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
        /// What happened: the text of the [`CallError`](foundation_kernel::names::CallError), which has the message itself
        /// in it.
        reason: String,
    },
}
