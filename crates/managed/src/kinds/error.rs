//! The errors of kinds.

use foundation_kernel::names::{NameError, NearMisses};
use foundation_kernel::supervision::ChildId;

use foundation_discovery::FieldError;

/// Why a kind was not registered, or its code did not do what was asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KindError {
    /// The name of the kind is not valid.
    #[error("a kind cannot have the name {name:?}: {source}")]
    InvalidName {
        /// The name.
        name: &'static str,
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
    /// Another kind has the name.
    #[error("kind {kind} is registered already")]
    AlreadyRegistered {
        /// The name.
        kind: &'static str,
    },
    /// There are as many kinds as there may be.
    #[error("kind {kind} cannot be registered: there are {limit} kinds, as many as there may be")]
    TooMany {
        /// The kind that was to be the next.
        kind: &'static str,
        /// The limit.
        limit: usize,
    },
    /// No kind has the name.
    #[error("there is no kind {kind}{near}")]
    Unknown {
        /// The name that was asked for.
        kind: String,
        /// Kinds with similar names.
        near: NearMisses,
    },
    /// What the service says of itself is not valid.
    #[error("what the service says of itself is not valid: {0}")]
    Description(#[from] FieldError),
    /// The kind has not made a child.
    #[error("kind {kind} made no child: {reason}")]
    NoChild {
        /// The kind.
        kind: &'static str,
        /// Its own error.
        reason: String,
    },
    /// The child has another id than the instance of the service has a name.
    #[error("kind {kind} described a child with the id {id}: make it with `ServiceContext::child_spec`")]
    OtherId {
        /// The kind.
        kind: &'static str,
        /// The id.
        id: ChildId,
    },
    /// Its code panicked.
    #[error("`{function}` of kind {kind} panicked: {panic}")]
    Panicked {
        /// The kind.
        kind: &'static str,
        /// Which function.
        function: &'static str,
        /// The text of the panic.
        panic: String,
    },
}
