//! The result of a task that is not awaited.

use crate::supervisor::error::BoxError;

/// The result of the future of a [`ChildSpec::task`](crate::ChildSpec::task): nothing, or a result whose error counts
/// as an abnormal end, after which a transient task is restarted.
pub trait TaskOutput: Send + 'static {
    /// The end of the task: normal, or failed with this error.
    ///
    /// # Errors
    /// The error of the task itself.
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
