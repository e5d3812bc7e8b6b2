//! What the parts of a durable queue share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foundation_events::{EventId, EventStore, EventStoreError, Hold, NewEvent};
use foundation_kernel::containment::{drop_contained, report, waking_contained};
use foundation_kernel::names::{RegistryError, ServiceName, ServiceRegistry};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use super::clock::WallClock;
use super::error::DurableJobError;
use super::event::{AcceptedJob, JobFact, JobTerms};
use super::ledger::Ledger;

/// The way back to a caller that waits for the outcome of a job.
pub(crate) type Caller<T> = oneshot::Sender<Result<T, DurableJobError>>;

/// What the client, the feeder, the recorder and the workers of a durable queue share. It belongs to the specification, and
/// outlives their restarts.
pub(crate) struct Shared<T> {
    pub(crate) queue: ServiceName,
    pub(crate) names: ServiceRegistry,
    pub(crate) events: EventStore,
    pub(crate) hold: Hold,
    pub(crate) tries: u32,
    /// How long an attempt may take, once its begin is recorded.
    limit: Mutex<Option<Duration>>,
    pub(crate) clock: WallClock,
    pub(crate) ledger: Ledger,
    pub(crate) callers: Callers<T>,
    /// Old events that unfinished jobs keep are to be pruned.
    pub(crate) pruning: Notify,
    /// The feeder is to note how far it has read, also if that were events of others only.
    pub(crate) look: Notify,
    /// Held while notes are recorded.
    recording: tokio::sync::Mutex<()>,
}

impl<T: Send + 'static> Shared<T> {
    pub(crate) fn new(names: &ServiceRegistry, queue: ServiceName, tries: u32) -> Arc<Self> {
        let events = EventStore::of(names);
        let hold = events.hold().of(format!("jobs.{queue}"));
        let shared = Arc::new(Self {
            queue,
            names: names.clone(),
            events,
            hold,
            tries,
            limit: Mutex::default(),
            clock: WallClock::new(),
            ledger: Ledger::default(),
            callers: Callers::of(names),
            pruning: Notify::new(),
            look: Notify::new(),
            recording: tokio::sync::Mutex::new(()),
        });
        // What an earlier process has left exists as events only, and it is not known yet which of them are needed.
        shared.hold.keep_from(Some(EventId::FIRST));
        let weak = Arc::downgrade(&shared);
        shared.hold.held_by(move || weak.upgrade().iter().for_each(|shared| shared.pruning.notify_one()));
        shared
    }

    pub(crate) fn limit(&self) -> Option<Duration> {
        *self.limit.lock()
    }

    pub(crate) fn set_limit(&self, limit: Option<Duration>) {
        *self.limit.lock() = limit;
    }

    /// Lets go of the events that are needed no more.
    pub(crate) fn move_hold(&self) {
        if self.ledger.is_recovered() {
            self.hold.keep_from(EventId::new(self.ledger.needed_from()));
        }
    }

    /// Returns when the store records, and has done everything that was requested before: one that has just failed is not
    /// asked again before it has opened its log.
    ///
    /// # Errors
    /// The namespace ends.
    pub(crate) async fn settled(&self) -> Result<(), RegistryError> {
        loop {
            self.events.wait_until_up(None).await?;
            let Err(error) = self.events.wait_until_settled().await else { return Ok(()) };
            report(|| tracing::warn!(queue = %self.queue, %error, "the log of durable jobs is waited for"));
        }
    }

    /// Records all notes.
    ///
    /// # Errors
    /// [`EventStoreError`]; what is not recorded is noted still.
    pub(crate) async fn record_notes(&self) -> Result<(), EventStoreError> {
        let _turn = waking_contained(self.recording.lock()).await;
        self.record_all().await
    }

    async fn record_all(&self) -> Result<(), EventStoreError> {
        loop {
            let notes = Taken::from(&self.ledger);
            if notes.is_empty() {
                return Ok(());
            }
            let ids = self.events.append_batch(notes.events(&self.queue)?).await?;
            notes.are_recorded(&ids);
            self.move_hold();
        }
    }

    /// Records the unfinished jobs with the oldest events again, at most this many, so that those events can be pruned.
    ///
    /// # Errors
    /// [`EventStoreError`]; the old events are kept still.
    pub(crate) async fn carry(&self, at_most: usize) -> Result<(), EventStoreError> {
        // An end that is noted from now on is recorded after this: so no job is carried on after its end.
        let _turn = waking_contained(self.recording.lock()).await;
        self.record_all().await?;
        let mut batch = Vec::new();
        for (record, carried) in self.ledger.oldest(at_most) {
            let Some(record) = EventId::new(record) else { continue };
            let Some(event) = self.events.get(record).await? else { continue };
            let AcceptedJob { job, terms } = AcceptedJob::<Value>::of(&event)?;
            let terms = JobTerms { carried: Some(carried), ..terms.keyed(&event) };
            batch.push(AcceptedJob { job: &job, terms }.to_event(&self.queue)?.child_of(&event));
        }
        if batch.is_empty() { Ok(()) } else { self.events.append_batch(batch).await.map(drop) }
    }

    /// Records an event after all that was noted before, in one batch with the notes.
    ///
    /// # Errors
    /// [`EventStoreError`]; the notes are noted still.
    pub(crate) async fn record_after_notes(&self, event: NewEvent) -> Result<EventId, EventStoreError> {
        let _turn = waking_contained(self.recording.lock()).await;
        loop {
            let notes = Taken::from(&self.ledger);
            let is_last = notes.is_empty();
            let mut batch = notes.events(&self.queue)?;
            if is_last {
                batch.push(event.clone());
            }
            let ids = self.events.append_batch(batch).await?;
            notes.are_recorded(&ids);
            if let Some(id) = ids.last().filter(|_| is_last) {
                return Ok(*id);
            }
        }
    }
}

/// Notes that are being recorded. Dropped before they are, they are put back.
struct Taken<'l> {
    ledger: &'l Ledger,
    facts: Vec<JobFact>,
}

impl<'l> Taken<'l> {
    fn from(ledger: &'l Ledger) -> Self {
        Self { ledger, facts: ledger.take_notes() }
    }

    fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    fn events(&self, queue: &ServiceName) -> Result<Vec<NewEvent>, EventStoreError> {
        Ok(self.facts.iter().map(|fact| fact.to_event(queue)).collect::<Result<_, _>>()?)
    }

    fn are_recorded(mut self, events: &[EventId]) {
        events.iter().zip(&self.facts).for_each(|(event, fact)| self.ledger.recorded(event.get(), fact));
        self.facts.clear();
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.facts.is_empty() {
            self.ledger.put_back(std::mem::take(&mut self.facts));
        }
    }
}

/// Those who wait for the outcome of a job, by the correlation id of its event: its id is known only after it was recorded.
pub(crate) struct Callers<T>(Arc<Mutex<HashMap<Uuid, Caller<T>>>>);

impl<T: Send + 'static> Callers<T> {
    /// Those of a namespace: a job that is put in by one handle may be performed by the pool of another specification.
    fn of(names: &ServiceRegistry) -> Self {
        let callers = names.extension(|| Self(Arc::default()));
        Self(Arc::clone(&callers.0))
    }

    /// Waits for the outcome of a job whose event has this correlation id.
    pub(crate) fn wait(&self, correlation: Uuid) -> (CallerGuard<T>, oneshot::Receiver<Result<T, DurableJobError>>) {
        let (caller, outcome) = oneshot::channel();
        self.0.lock().insert(correlation, caller);
        (CallerGuard { correlation, callers: Arc::clone(&self.0) }, outcome)
    }

    pub(crate) fn take(&self, correlation: Uuid) -> Option<Caller<T>> {
        self.0.lock().remove(&correlation)
    }
}

/// Removes a caller that does not wait any more.
pub(crate) struct CallerGuard<T> {
    correlation: Uuid,
    callers: Arc<Mutex<HashMap<Uuid, Caller<T>>>>,
}

impl<T> Drop for CallerGuard<T> {
    fn drop(&mut self) {
        let caller = self.callers.lock().remove(&self.correlation);
        // Not under the lock: it may have the last reference to a waker.
        drop_contained("a caller", caller);
    }
}
