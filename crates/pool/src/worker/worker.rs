//! What a user implements.

use crate::job::context::JobContext;
use crate::job::failure::JobFailure;

/// A worker: it performs one job after the other. Made by the pool, for each life anew.
///
/// ```
/// use foundation_pool::{JobContext, JobFailure, Worker};
///
/// struct Reader;
///
/// impl Worker for Reader {
///     type Job = String;
///     type Output = u64;
///
///     async fn perform(&mut self, job: &mut String, _: &JobContext<'_>) -> Result<u64, JobFailure> {
///         Ok(job.parse()?)
///     }
/// }
/// ```
pub trait Worker: Send + 'static {
    /// What it performs.
    type Job: Send + 'static;
    /// What comes of a job.
    type Output: Send + 'static;

    /// Performs a job.
    ///
    /// The job is lent: what an error, a panic or a kill leaves of it is tried again or given back, with the progress that
    /// was made in it.
    ///
    /// # Errors
    /// [`JobFailure`], of any error.
    fn perform(
        &mut self,
        job: &mut Self::Job,
        context: &JobContext<'_>,
    ) -> impl Future<Output = Result<Self::Output, JobFailure>> + Send;

    /// Ends in order: called after its last job, unless it panicked in that or was killed.
    fn stop(self) -> impl Future<Output = ()> + Send
    where
        Self: Sized,
    {
        async {}
    }
}
