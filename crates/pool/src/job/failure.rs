//! The failure of a job, as its worker reports it.

use std::fmt;
use std::time::Duration;

use foundation_kernel::supervision::BoxError;

use crate::retry::RetryAdvice;

/// Why a worker did not finish a job, and what it advises.
///
/// Any error becomes one with `?`; the pool's [`Retry`](crate::Retry) then decides about another attempt.
///
/// ```
/// use std::time::Duration;
/// use foundation_pool::JobFailure;
///
/// fn price(text: &str) -> Result<u64, JobFailure> {
///     let price = text.parse::<u64>().map_err(|error| JobFailure::from(error).never_again())?;
///     if price > 100 {
///         return Err(JobFailure::from("the market is closed").again_after(Duration::from_secs(60)));
///     }
///     Ok(price)
/// }
/// assert!(price("ten").is_err());
/// ```
// No `Error` itself, or it could not be made of any: there would be two ways to make one of itself.
pub struct JobFailure {
    error: BoxError,
    advice: RetryAdvice,
    worker_broken: bool,
}

impl JobFailure {
    /// The next attempt, if there is one by the pool's rule, is after this time.
    pub fn again_after(self, delay: Duration) -> Self {
        Self { advice: RetryAdvice::After(delay), ..self }
    }

    /// There is no other attempt.
    pub fn never_again(self) -> Self {
        Self { advice: RetryAdvice::Never, ..self }
    }

    /// The worker itself can do no more: it ends, and its supervisor starts another one.
    pub fn worker_broken(self) -> Self {
        Self { worker_broken: true, ..self }
    }

    /// The error itself.
    pub fn error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.error
    }

    pub(crate) fn is_worker_broken(&self) -> bool {
        self.worker_broken
    }

    pub(crate) fn into_parts(self) -> (BoxError, RetryAdvice) {
        (self.error, self.advice)
    }
}

impl<E: Into<BoxError>> From<E> for JobFailure {
    fn from(error: E) -> Self {
        Self { error: error.into(), advice: RetryAdvice::default(), worker_broken: false }
    }
}

impl fmt::Debug for JobFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobFailure")
            .field("error", &self.error)
            .field("advice", &self.advice)
            .field("worker_broken", &self.worker_broken)
            .finish()
    }
}
