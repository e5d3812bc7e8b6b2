//! Jobs that are performed at once: as the claim keeps them. No worker of the model performs any.

use super::failure::JobFailure;
use super::record::JobRecord;

pub(crate) struct BatchJob<J, T> {
    pub(crate) record: JobRecord<J, T>,
    pub(crate) outcome: Option<Result<T, JobFailure>>,
}
