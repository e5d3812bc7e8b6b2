//! What happens to a pool.

use crate::job::id::JobId;

pub(crate) enum PoolEvent {
    JobDied { id: JobId, attempts: u32, error: String },
}
