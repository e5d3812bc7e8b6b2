//! How a call ended.

use std::time::Duration;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer, after this time.
    Succeeded(Duration),
    /// With an error. Its latency does not count: an instance that fails at once is not fast.
    Failed,
    /// Given up by the caller: it says nothing of the instance.
    Cancelled,
}

impl Outcome {
    /// Whether it succeeded; `None` if it says nothing.
    pub fn is_success(self) -> Option<bool> {
        match self {
            Self::Succeeded(_) => Some(true),
            Self::Failed => Some(false),
            Self::Cancelled => None,
        }
    }
}
