//! What a request waits for.

/// What a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// It is recorded.
    Recorded,
    /// This generation is healthy.
    Healthy(u64),
    /// This generation is healthy, if the service is to run.
    Configured(u64),
    /// Nothing of it runs.
    Stopped,
}
