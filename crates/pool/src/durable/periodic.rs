//! Jobs that are performed at each time of a schedule.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foundation_kernel::containment::{catch_panic, drop_contained, error_text, report};
use foundation_kernel::supervision::{BoxError, TaskStop};
use serde::Serialize;

use super::pool::DurablePool;
use super::schedule::Schedule;

/// The pause before a job that could not be recorded is recorded again.
const AGAIN: Duration = Duration::from_secs(1);

/// A job that is performed again and again.
pub(crate) struct Periodic<J> {
    name: Arc<str>,
    schedule: Schedule,
    job: Arc<dyn Fn() -> J + Send + Sync>,
}

impl<J> Clone for Periodic<J> {
    fn clone(&self) -> Self {
        Self { name: Arc::clone(&self.name), schedule: self.schedule.clone(), job: Arc::clone(&self.job) }
    }
}

impl<J> fmt::Debug for Periodic<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Periodic({}, {})", self.name, self.schedule)
    }
}

impl<J> Periodic<J> {
    pub(crate) fn new(name: String, schedule: Schedule, job: impl Fn() -> J + Send + Sync + 'static) -> Self {
        Self { name: name.into(), schedule, job: Arc::new(job) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// Records the job of each time when the one before it is due, until it is asked to stop. One that cannot be made or recorded
/// is tried again after a pause.
///
/// # Errors
/// None.
pub(crate) async fn submit_each<J, T>(
    periodic: Periodic<J>,
    pool: DurablePool<J, T>,
    stop: TaskStop,
) -> Result<(), BoxError>
where
    J: Serialize + Send + 'static,
    T: Send + 'static,
{
    let mut after = pool.now();
    while let Some(at) = periodic.schedule.next_after(after) {
        let recorded = submit(&periodic, &pool, at).await;
        let wait = match &recorded {
            Ok(()) => at.duration_since(pool.now()).unwrap_or_default(),
            Err(error) => {
                report(
                    || tracing::warn!(queue = %pool.queue(), name = &*periodic.name, %error, "a periodic job is not recorded"),
                );
                AGAIN
            }
        };
        if recorded.is_ok() {
            after = at.max(pool.now());
        }
        #[expect(clippy::disallowed_methods, reason = "the delay is what this is for")]
        let due = tokio::time::sleep(wait);
        tokio::select! {
            () = stop.requested() => return Ok(()),
            () = due => {}
        }
    }
    Ok(())
}

/// Makes the job of a time, and records it; the error is a text.
async fn submit<J, T>(periodic: &Periodic<J>, pool: &DurablePool<J, T>, at: SystemTime) -> Result<(), String>
where
    J: Serialize + Send + 'static,
    T: Send + 'static,
{
    let job = catch_panic(|| (periodic.job)()).map_err(|panic| format!("its function panicked: {}", panic.text()))?;
    let key = format!("{}/{}", periodic.name, at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
    let recorded = pool.job(job).run_at(at).idempotency_key(key).send().await;
    recorded.map(drop).map_err(|error| {
        let text = error_text(&error.source);
        drop_contained("a job", error);
        text
    })
}
