//! Finding a supervisor by its name.

use futures::future::BoxFuture;

use super::error::ChildError;

/// A name, and its current holder. Implemented by the layer above, to which the names belong.
pub trait Find<T>: Send + Sync {
    /// The name, for display.
    fn name(&self) -> &str;

    /// Its holder now.
    fn now(&self) -> Result<T, ChildError>;

    /// Its holder, which is waited for within a limit.
    fn found(&self) -> BoxFuture<'_, Result<T, ChildError>>;
}
