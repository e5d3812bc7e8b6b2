//! What a task that nobody awaits may end with.

use crate::supervisor::error::BoxError;

/// What the future of a [`ChildSpec::task`](crate::ChildSpec::task) may end with: nothing, or a result whose error counts
/// as an abnormal end, after which a transient task is restarted.
pub trait TaskOutput: Send + 'static {
    /// The end of the task: normal, or failed with this error.
    ///
    /// # Errors
    /// Whatever the task itself says.
    fn into_result(self) -> Result<(), BoxError>;
}

impl TaskOutput for () {
    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<E: Into<BoxError> + Send + 'static> TaskOutput for Result<(), E> {
    fn into_result(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}
