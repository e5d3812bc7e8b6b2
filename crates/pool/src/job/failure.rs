//! The failure of a job, as its worker reports it.

use std::fmt;

use foundation_kernel::supervision::BoxError;

/// Why a worker did not finish a job.
///
/// Any error becomes one with `?`:
///
/// ```
/// use foundation_pool::JobFailure;
///
/// fn price(text: &str) -> Result<u64, JobFailure> {
///     Ok(text.parse::<u64>()?)
/// }
/// assert!(price("ten").is_err());
/// ```
// No `Error` itself, or it could not be made of any: there would be two ways to make one of itself.
pub struct JobFailure {
    error: BoxError,
}

impl JobFailure {
    /// The error itself.
    pub fn error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.error
    }

    pub(crate) fn into_error(self) -> BoxError {
        self.error
    }
}

impl<E: Into<BoxError>> From<E> for JobFailure {
    fn from(error: E) -> Self {
        Self { error: error.into() }
    }
}

impl fmt::Debug for JobFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobFailure").field("error", &self.error).finish()
    }
}
