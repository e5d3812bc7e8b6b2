//! The errors of partitions.

use crate::supervisor::error::ChildError;

/// Why a partition was not found, or could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartitionError {
    /// Nothing can be routed: the supervisor was resized to zero.
    #[error("there are no partitions, since all {started} were resized away; resize to at least 1")]
    NoPartitions {
        /// How many it was started with.
        started: usize,
    },
    /// The partition has no running actor: it is being restarted, or its supervisor has not started or has stopped.
    #[error("partition {partition} is not running")]
    Down {
        /// Which partition.
        partition: usize,
    },
    /// There is no partition of this number.
    #[error("there is no partition {asked}, only those below {partitions}")]
    NotFound {
        /// The number requested.
        asked: usize,
        /// How many there are.
        partitions: usize,
    },
    /// A supervisor never has more partitions than it was started with.
    #[error("cannot resize to {asked} partitions: it was started with {started}, and never has more")]
    TooMany {
        /// The number requested.
        asked: usize,
        /// How many it was started with.
        started: usize,
    },
    /// The supervisor refused, or is not running.
    #[error(transparent)]
    Child(#[from] ChildError),
}
