//! What a worker learns of a job beside the job itself.

use foundation_kernel::supervision::TaskStop;

use super::id::JobId;

/// What a worker learns of a job beside the job itself.
#[derive(Debug)]
pub struct JobContext<'a> {
    pub(crate) id: JobId,
    pub(crate) attempt: u32,
    pub(crate) stop: &'a TaskStop,
}

impl JobContext<'_> {
    /// The number of the job.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Which attempt this is, from 1. A worker that panicked or was killed while it had the job was an attempt, too.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The notification that the worker is asked to stop. A job that ends early then, with an error, is tried again.
    pub fn stop(&self) -> &TaskStop {
        self.stop
    }
}
