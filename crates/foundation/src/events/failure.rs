use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// A log's storage has failed: what was asked may or may not be done, and the log is not to be used any more.
///
/// Opening the log again is the way on; an [`EventStore`](crate::EventStore) does that by failing and being restarted.
/// Cheap to clone.
///
/// ```
/// use foundation::LogFailure;
///
/// let failure = LogFailure::new("committing 3 events", "/var/lib/shop/events.db", "disk full");
/// assert_eq!(failure.to_string(), "committing 3 events failed in /var/lib/shop/events.db: disk full");
/// ```
#[derive(Debug, Clone)]
pub struct LogFailure(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    action: String,
    place: String,
    cause: Box<dyn Error + Send + Sync>,
}

impl LogFailure {
    /// The failure of an action ("committing 3 events") in a place (a file, say) for this cause.
    pub fn new(
        action: impl Into<String>,
        place: impl Into<String>,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self(Arc::new(Inner { action: action.into(), place: place.into(), cause: cause.into() }))
    }

    /// What was being done.
    pub fn action(&self) -> &str {
        &self.0.action
    }

    /// Where: the file, as a rule.
    pub fn place(&self) -> &str {
        &self.0.place
    }
}

impl fmt::Display for LogFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { action, place, cause } = &*self.0;
        write!(f, "{action} failed in {place}: {cause}")
    }
}

impl Error for LogFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0.cause)
    }
}
