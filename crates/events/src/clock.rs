use std::sync::Arc;
use std::time::SystemTime;

/// Returns the time of day.
pub(super) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;
