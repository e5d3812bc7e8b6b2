//! Jobs that are performed at each time of a schedule.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foundation_events::EventStoreError;
use foundation_kernel::containment::{catch_panic, drop_contained, error_text, report};
use foundation_kernel::names::RegistryError;
use foundation_kernel::supervision::{BoxError, TaskStop};
use serde::Serialize;

use super::error::NotRecordedError;
use super::pool::DurablePool;
use super::schedule::Schedule;

/// The pause before a job is made again, after its function panicked or the log refused it.
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

/// Why the job of a time is not recorded.
#[derive(Debug, thiserror::Error)]
enum NotSubmittedError {
    #[error("its function panicked: {0}")]
    Panicked(String),
    #[error("{}", error_text(.0))]
    NotRecorded(EventStoreError),
}

/// Records the job of each time when the one before it is due, until it is asked to stop. One that cannot be made is made again
/// after a pause; one that cannot be recorded, when the store records again.
///
/// # Errors
/// The namespace ends.
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
        let submitted = submit(&periodic, &pool, at).await;
        if submitted.is_ok() {
            after = at.max(pool.now());
        }
        tokio::select! {
            () = stop.requested() => return Ok(()),
            waited = wait_after(submitted, at, &pool, periodic.name()) => waited?,
        }
    }
    Ok(())
}

/// Waits until the time of the job has come, or until it can be submitted again.
async fn wait_after<J, T>(
    submitted: Result<(), NotSubmittedError>,
    at: SystemTime,
    pool: &DurablePool<J, T>,
    name: &str,
) -> Result<(), RegistryError>
where
    J: Serialize + Send + 'static,
    T: Send + 'static,
{
    let wait = match submitted {
        Ok(()) => at.duration_since(pool.now()).unwrap_or_default(),
        Err(error) => {
            report(|| tracing::warn!(queue = %pool.queue(), name, %error, "a periodic job is not recorded"));
            match error {
                // The log refuses the job itself, whenever it is asked.
                NotSubmittedError::Panicked(_) | NotSubmittedError::NotRecorded(EventStoreError::Log(_)) => AGAIN,
                NotSubmittedError::NotRecorded(_) => {
                    pool.settled().await?;
                    AGAIN
                }
            }
        }
    };
    #[expect(clippy::disallowed_methods, reason = "the delay is what this is for")]
    tokio::time::sleep(wait).await;
    Ok(())
}

/// Makes the job of a time, and records it.
async fn submit<J, T>(periodic: &Periodic<J>, pool: &DurablePool<J, T>, at: SystemTime) -> Result<(), NotSubmittedError>
where
    J: Serialize + Send + 'static,
    T: Send + 'static,
{
    let job = catch_panic(|| (periodic.job)()).map_err(|panic| NotSubmittedError::Panicked(panic.text().to_owned()))?;
    let key = format!("{}/{}", periodic.name, at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
    let recorded = pool.job(job).run_at(at).idempotency_key(key).send().await;
    recorded.map(drop).map_err(|NotRecordedError { job, source }| {
        drop_contained("a job", job);
        NotSubmittedError::NotRecorded(source)
    })
}
