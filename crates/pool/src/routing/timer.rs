//! How long the jobs of a worker take, for routings that look at it.

use std::sync::Arc;

use foundation_discovery::choice::{Load, LoadRules, Outcome};
use tokio::time::Instant;

/// Measures the jobs of one worker. Dropped with a job under way, it counts that as failed.
pub(crate) struct JobTimer {
    load: Arc<Load>,
    begun: Option<Instant>,
}

impl JobTimer {
    pub(super) fn new(load: Arc<Load>) -> Self {
        Self { load, begun: None }
    }

    /// A job begins.
    pub(crate) fn begin(&mut self) {
        let now = Instant::now();
        self.load.begin(now);
        self.begun = Some(now);
    }

    /// The job that has begun ends.
    pub(crate) fn end(&mut self, succeeded: bool) {
        self.end_batch(1, succeeded);
    }

    /// This many jobs that have begun at once end.
    pub(crate) fn end_batch(&mut self, jobs: usize, succeeded: bool) {
        let Some(begun) = self.begun.take() else { return };
        let now = Instant::now();
        let took = now.saturating_duration_since(begun) / u32::try_from(jobs.max(1)).unwrap_or(u32::MAX);
        let outcome = if succeeded { Outcome::Succeeded(took) } else { Outcome::Failed };
        self.load.end(&LoadRules::new(), outcome, now);
    }
}

impl Drop for JobTimer {
    fn drop(&mut self) {
        self.end(false);
    }
}
