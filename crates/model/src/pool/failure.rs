//! The failure of a job: its text.

use foundation_kernel::supervision::BoxError;

use crate::pool::retry::RetryAdvice;

pub(crate) struct JobFailure(BoxError);

impl JobFailure {
    pub(crate) fn into_parts(self) -> (BoxError, RetryAdvice) {
        (self.0, RetryAdvice::Default)
    }
}
