//! The handle on a durable pool.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use foundation_events::{EventId, EventStoreError, NewEvent};
use foundation_kernel::Limit;
use foundation_kernel::containment::{drop_contained, waking_contained};
use foundation_kernel::names::{RegistryError, ServiceName};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::error::{DurableJobError, NotRecordedError};
use super::event::{AcceptedJob, JobTerms, TimeOfDay, key_in_log};
use super::shared::Shared;
use crate::JobId;

/// A handle on a durable pool: accepts jobs by recording them.
///
/// A job that was accepted is performed at least once, also if the process is killed, and by a pool that is started later if
/// none runs now. A handle is cheap to clone.
///
/// The number of a job is the id of the event that records it, and stays the same over restarts.
pub struct DurablePool<J, T = ()> {
    shared: Arc<Shared<T>>,
    job: PhantomData<fn(J)>,
}

impl<J, T> Clone for DurablePool<J, T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), job: PhantomData }
    }
}

impl<J, T> fmt::Debug for DurablePool<J, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unfinished, _) = self.shared.ledger.counts();
        f.debug_struct("DurablePool").field("queue", &self.shared.queue).field("unfinished", &unfinished).finish()
    }
}

impl<J: Serialize + Send, T: Send + 'static> DurablePool<J, T> {
    pub(crate) fn new(shared: Arc<Shared<T>>) -> Self {
        Self { shared, job: PhantomData }
    }

    /// The name of the queue.
    pub fn queue(&self) -> &ServiceName {
        &self.shared.queue
    }

    /// Records a job. `Ok` means that it is performed, whatever happens to the process.
    ///
    /// Costs an append to the event store; many at once cost hardly more than one. Dropped before it returns, it may or may not
    /// have recorded the job.
    ///
    /// # Errors
    /// [`NotRecordedError`] with the job.
    pub async fn send(&self, job: J) -> Result<JobId, NotRecordedError<J>> {
        self.job(job).send().await
    }

    /// Records a job, and waits for its output, for as long as this.
    ///
    /// # Errors
    /// [`DurableJobError`]. A job that is recorded is performed all the same.
    pub async fn call(&self, job: J, limit: Duration) -> Result<T, DurableJobError> {
        self.job(job).call(limit).await
    }

    /// A job with more to say: its key, its time, its uniqueness.
    pub fn job(&self, job: J) -> DurableRequest<'_, J, T> {
        DurableRequest { pool: self, job, terms: JobTerms::default(), idempotency_key: None }
    }

    /// How many jobs are recorded and have not ended, as far as the log has been read: all of them but those that wait for
    /// room in the pool.
    pub fn unfinished(&self) -> usize {
        self.shared.ledger.counts().0
    }

    /// How many of them could not be read as jobs: their events do not fit the type of the jobs. They wait for a program whose
    /// type they fit.
    pub fn unreadable(&self) -> usize {
        self.shared.ledger.counts().1
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.shared.clock.now()
    }

    /// Returns when the store records.
    ///
    /// # Errors
    /// The namespace ends.
    pub(crate) async fn settled(&self) -> Result<(), RegistryError> {
        self.shared.settled().await
    }

    async fn record(&self, event: NewEvent, is_unique: bool) -> Result<JobId, EventStoreError> {
        let id = match is_unique {
            // The end of the one before has to be in the log first, or this one would seem to repeat it.
            true => self.shared.record_after_notes(event).await?,
            false => self.shared.events.append(event).await?,
        };
        Ok(JobId::new(id.get()))
    }

    /// Whether an event that was recorded is that of another request.
    async fn is_of_another(&self, id: JobId, correlation: Uuid) -> Result<bool, EventStoreError> {
        let Some(id) = EventId::new(id.number()) else { return Ok(false) };
        let recorded = self.shared.events.get(id).await?;
        Ok(recorded.is_none_or(|event| event.correlation_id != correlation))
    }
}

/// A durable job that is about to be recorded.
#[must_use = "a request does nothing until it is sent or called"]
pub struct DurableRequest<'p, J, T> {
    pool: &'p DurablePool<J, T>,
    job: J,
    terms: JobTerms,
    idempotency_key: Option<String>,
}

impl<J, T> fmt::Debug for DurableRequest<'_, J, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableRequest").field("terms", &self.terms).finish_non_exhaustive()
    }
}

impl<J: Serialize + Send, T: Send + 'static> DurableRequest<'_, J, T> {
    /// Jobs with the same key are performed one at a time, in the order in which they were recorded.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.terms.key = Some(key.into());
        self
    }

    /// It is not begun before this time of day. One that has passed is of no effect.
    pub fn run_at(mut self, time: SystemTime) -> Self {
        self.terms.run_at = Some(TimeOfDay(time));
        self
    }

    /// It is not begun before this time has passed.
    pub fn after(self, delay: Duration) -> Self {
        let at = self.pool.now().checked_add(delay.bounded());
        match at {
            Some(at) => self.run_at(at),
            None => self,
        }
    }

    /// At most one job with this text is unfinished: while there is one, another is not performed.
    pub fn unique(mut self, text: impl Into<String>) -> Self {
        self.terms.unique = Some(text.into());
        self
    }

    /// Makes it harmless to send it again: while a job with this key is in the log, done or not, another is not performed.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// As [`DurablePool::send`]. A job that repeats another one returns the id of the first.
    ///
    /// # Errors
    /// [`NotRecordedError`] with the job.
    pub async fn send(self) -> Result<JobId, NotRecordedError<J>> {
        if let Some(first) = self.first() {
            drop_contained("a job", self.job);
            return Ok(first);
        }
        let event = self.to_event();
        let Self { pool, job, terms, .. } = self;
        let recorded = match event {
            Ok(event) => pool.record(event, terms.unique.is_some()).await,
            Err(error) => Err(error),
        };
        match recorded {
            Ok(id) => {
                drop_contained("a job", job);
                Ok(id)
            }
            Err(source) => Err(NotRecordedError { job, source }),
        }
    }

    /// As [`DurablePool::call`].
    ///
    /// # Errors
    /// [`DurableJobError`].
    pub async fn call(self, limit: Duration) -> Result<T, DurableJobError> {
        if let Some(id) = self.first() {
            drop_contained("a job", self.job);
            return Err(DurableJobError::Repeats { id });
        }
        let until = Instant::now() + limit.bounded();
        let event = self.to_event();
        let Self { pool, job, terms, idempotency_key } = self;
        drop_contained("a job", job);
        let event = event?;
        let correlation = event.correlation_id();
        // Before it is recorded: it may be done before the answer is here.
        let (_guard, outcome) = pool.shared.callers.wait(correlation);
        let id = pool.record(event, terms.unique.is_some()).await?;
        if idempotency_key.is_some() && pool.is_of_another(id, correlation).await? {
            return Err(DurableJobError::Repeats { id });
        }
        match timeout_at(until, waking_contained(outcome)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(DurableJobError::Deferred { id }),
            Err(_) => Err(DurableJobError::TimedOut { id, limit }),
        }
    }

    /// The unfinished job that this one repeats.
    fn first(&self) -> Option<JobId> {
        let Shared { queue, ledger, .. } = &*self.pool.shared;
        // The log knows its keys, but not those of jobs that it has only in the records that came later.
        let idempotency_key = self.idempotency_key.as_ref().map(|key| key_in_log(queue, key));
        let asked = JobTerms { unique: self.terms.unique.clone(), idempotency_key, ..JobTerms::default() };
        asked.marks().find_map(|mark| ledger.with_mark(&mark)).map(JobId::new)
    }

    /// The event that records the job, for a batch of your own: so a job is accepted together with other facts, or not at all.
    /// Of a [unique](Self::unique) job the end of the one before may not be recorded yet; use [`send`](Self::send) for those.
    ///
    /// # Errors
    /// [`EventStoreError::Log`] if the job has no form in JSON.
    pub fn to_event(&self) -> Result<NewEvent, EventStoreError> {
        let queue = &self.pool.shared.queue;
        let event = AcceptedJob { job: &self.job, terms: self.terms.clone() }.to_event(queue)?;
        // Keys are those of the whole log.
        let key = self.idempotency_key.as_ref().map(|key| key_in_log(queue, key));
        Ok(key.into_iter().fold(event, NewEvent::idempotency_key))
    }
}
