//! The errors of kinds.

use foundation_kernel::catalog::CatalogError;
use foundation_kernel::supervision::ChildId;

use foundation_discovery::FieldError;

/// Why a kind was not registered, or its code did not do what was asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KindError {
    /// A name that is not valid, taken or unknown, or one kind too many; with similar names.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
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
