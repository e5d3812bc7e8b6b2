//! Hearing of changes.

use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::change::ConfigChange;
use super::path::ConfigPath;
use crate::events::EventId;

/// One change that has been recorded and made.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ConfigChanged {
    /// Path, old value and new value.
    pub change: ConfigChange,
    /// The generation of the configuration that it led to.
    pub generation: u64,
    /// The event that records it; `None` if the value was the same already, so that nothing was changed.
    pub event: Option<EventId>,
}

/// A reader that was too slow: so many changes were dropped for it. It goes on with the oldest that are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{missed} configuration changes were missed: the subscriber was too slow")]
pub struct Lagged {
    /// How many.
    pub missed: u64,
}

/// The changes of one value or section from now on, in order; it outlives the config server's restarts.
#[derive(Debug)]
pub struct ConfigSubscription {
    pub(super) section: ConfigPath,
    pub(super) changes: Receiver<ConfigChanged>,
}

impl ConfigSubscription {
    /// Waits for the next change; `None` when the namespace has been shut down.
    ///
    /// # Errors
    /// [`Lagged`] if this subscriber was more than 1,024 changes behind; the next call goes on after the gap.
    pub async fn next(&mut self) -> Result<Option<ConfigChanged>, Lagged> {
        loop {
            match self.changes.recv().await {
                Ok(changed) if changed.change.path.is_within(&self.section) => return Ok(Some(changed)),
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => return Err(Lagged { missed }),
                Err(RecvError::Closed) => return Ok(None),
            }
        }
    }
}
