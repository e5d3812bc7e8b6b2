//! What a user implements.

use crate::job::batch::Batch;
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

    /// Performs jobs at once, for a worker that gains from it: one that writes them in one transaction, say. By default it
    /// begins none.
    ///
    /// It is called before the jobs of a claim are performed, if two or more have not been attempted yet; the
    /// [size of a batch](crate::PoolSpec::batch_size) says how many are claimed. Those that have no outcome when it returns are
    /// [performed](Self::perform) one after the other, within the same attempt. If it panics, is killed or abandoned, those
    /// without an outcome go back to the queue, and are performed by themselves the next time. The
    /// [limit of an attempt](crate::PoolSpec::limit) is that of the whole batch. It is not called under a
    /// [rate](crate::QueueSpec::rate) for which jobs wait: there jobs are claimed one at a time.
    ///
    /// In a durable pool, jobs whose begin is [recorded first](crate::durable::Poison) are performed one by one: from
    /// [`begin`](Batch::begin) on they are not in the batch.
    ///
    /// ```
    /// use foundation_pool::{Batch, JobContext, JobFailure, Worker};
    ///
    /// struct Writer;
    ///
    /// impl Writer {
    ///     async fn write(&mut self, rows: &[String]) -> Result<(), std::io::Error> {
    ///         # let _ = rows;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// impl Worker for Writer {
    ///     type Job = String;
    ///     type Output = ();
    ///
    ///     async fn perform(&mut self, row: &mut String, _: &JobContext<'_>) -> Result<(), JobFailure> {
    ///         Ok(self.write(std::slice::from_ref(row)).await?)
    ///     }
    ///
    ///     async fn perform_batch(&mut self, jobs: &mut Batch<'_, String, ()>) {
    ///         let jobs = jobs.begin();
    ///         let rows: Vec<_> = jobs.iter_mut().map(|job| job.job().clone()).collect();
    ///         // If it fails, each row is written by itself, and the bad one is found.
    ///         if self.write(&rows).await.is_ok() {
    ///             jobs.iter_mut().for_each(|job| drop(job.end(Ok(()))));
    ///         }
    ///     }
    /// }
    /// ```
    fn perform_batch(&mut self, jobs: &mut Batch<'_, Self::Job, Self::Output>) -> impl Future<Output = ()> + Send {
        let _ = jobs;
        async {}
    }

    /// Ends in order: called after its last job, unless it panicked in that or was killed.
    fn stop(self) -> impl Future<Output = ()> + Send
    where
        Self: Sized,
    {
        async {}
    }
}
