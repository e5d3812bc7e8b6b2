//! What happens to a job for which there is no room.

use std::fmt;

/// What happens to a job for which the queue has no room.
///
/// | | a cast | a send | a call |
/// |---|---|---|---|
/// | `Wait`, the default | is refused | waits | waits |
/// | `Refuse` | is refused | is refused | is refused |
/// | `DropOldest`, `DropNewest` | is taken | is taken | is taken |
///
/// A job that is refused comes back. One that is dropped goes to its caller, or to the dead letters, with
/// [`JobError::Dropped`](crate::JobError::Dropped).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WhenFull {
    /// Callers wait for room, in the order in which they came.
    #[default]
    Wait,
    /// The job is refused.
    Refuse,
    /// The job that was accepted first, of the least urgent ones that wait, gives way, wherever it does: for a worker, for
    /// another one of its key, or for its time. The new job may be more or less urgent than that. Costs logarithmic time, and
    /// some 40 bytes a job that waits.
    DropOldest,
    /// The new job gives way.
    DropNewest,
}

impl fmt::Display for WhenFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Wait => "wait",
            Self::Refuse => "refuse",
            Self::DropOldest => "drop the oldest",
            Self::DropNewest => "drop the newest",
        })
    }
}
