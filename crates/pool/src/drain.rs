//! What became of the jobs of a pool that was drained.

use std::fmt;
use std::time::Duration;

use crate::job::id::JobId;

/// What became of the jobs of a pool that was drained.
#[non_exhaustive]
pub struct Drained<J> {
    /// The jobs that no worker had begun, in the order of acceptance. Those of callers that wait are not among them: the
    /// callers have them.
    pub returned: Vec<Unfinished<J>>,
    /// How many jobs were still in the hands of workers. Their outcomes go to their callers.
    pub under_way: usize,
    /// How long it took.
    pub took: Duration,
}

impl<J> Drained<J> {
    /// Whether each job was done, or has failed.
    pub fn is_complete(&self) -> bool {
        self.returned.is_empty() && self.under_way == 0
    }
}

// By hand, as below: a job need not be `Debug`.
impl<J> fmt::Debug for Drained<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drained")
            .field("returned", &self.returned)
            .field("under_way", &self.under_way)
            .field("took", &self.took)
            .finish()
    }
}

/// A job that the pool gives back.
#[non_exhaustive]
pub struct Unfinished<J> {
    /// Its number.
    pub id: JobId,
    /// How often it has been begun.
    pub attempts: u32,
    /// The job.
    pub job: J,
}

impl<J> fmt::Debug for Unfinished<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unfinished").field("id", &self.id).field("attempts", &self.attempts).finish_non_exhaustive()
    }
}
