//! The task that puts durable jobs into the pool, as they stand in the log: those that an earlier process has left, and then each
//! one that is accepted. So the order of acceptance is that of the log, however callers raced.
//!
//! It begins with what the log says of jobs after they were accepted: so it knows of each job that it reads whether that has
//! ended, and puts the first one in before it has read the others.
//!
//! The log is the queue: the pool has no more jobs in memory than it has room for, and the others wait where they are recorded.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use foundation_events::{Event, EventId, EventSubscription, Order, Query, SubscriptionError, SubscriptionSpec};
use foundation_kernel::containment::{drop_contained, report};
use foundation_kernel::supervision::{BoxError, TaskStop};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until};

use super::backlog::Acceptance;
use super::error::DurableJobError;
use super::event::{AcceptedJob, JobEvent, JobFact, JobsDone, source};
use super::job::DurableJob;
use super::ledger::Waiting;
use super::open_queues::OpenQueues;
use super::recovery::Recovery;
use super::settlement::{Settlement, answer};
use super::shared::Shared;
use crate::job::id::JobId;
use crate::job::key::{JobKey, MAX_KEY_BYTES};
use crate::job::record::JobOptions;
use crate::job::record::Reply;
use crate::queue::new_job::NewJob;
use crate::shared::Shared as PoolShared;

/// How many events are read at once.
const PAGE: usize = 1_000;

/// When an attempt at a job is recorded before it begins, so that one that ends its process is counted.
///
/// A begin is noted at no cost, and recorded with other notes, at most 10 ms later. A job that ends its process at once leaves
/// no trace of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Poison {
    /// Of the jobs that an earlier process has left unfinished: one of them may have ended it. The default.
    #[default]
    Suspected,
    /// Of all jobs: an attempt is never repeated more often than the tries say. Costs an awaited append for each.
    Strict,
}

/// Feeds the pool until it is asked to stop.
pub(crate) struct Feeder<J, T: Send + 'static> {
    pub(crate) shared: Arc<Shared<T>>,
    pub(crate) pool: Arc<PoolShared<DurableJob<J>, T>>,
    pub(crate) poison: Poison,
    /// Those that are to be begun at a time, by it.
    pub(crate) scheduled: BTreeSet<(Instant, u64)>,
}

impl<J: DeserializeOwned + Send + 'static, T: Send + 'static> Feeder<J, T> {
    /// # Errors
    /// The unfinished jobs cannot be read, or the queue has another pool.
    pub(crate) async fn run(mut self, stop: TaskStop) -> Result<(), BoxError> {
        let _open = OpenQueues::enter(&self.shared.names, &self.shared.queue)?;
        let stopped = async {
            tokio::select! {
                () = stop.requested() => Ok(()),
                fed = self.feed() => fed,
            }
        };
        stopped.await
    }

    async fn feed(&mut self) -> Result<(), BoxError> {
        let shared = Arc::clone(&self.shared);
        if !shared.ledger.is_recovered() {
            shared.ledger.recover(recover(&shared).await?);
            shared.move_hold();
        }
        self.take_waiting().await?;
        let position = EventId::new(shared.ledger.position());
        let from = position.map_or_else(SubscriptionSpec::from_beginning, SubscriptionSpec::after);
        let mut accepted = shared.events.subscribe(from.kinds([JobEvent::ACCEPTED, JobEvent::CARRIED])).await?;
        loop {
            let next = self.scheduled.first().copied();
            tokio::select! {
                event = accepted.next() => match event {
                    Ok(Some(event)) => self.read(&event).await?,
                    // The namespace ends, and this task with it.
                    Ok(None) => std::future::pending().await,
                    Err(error) => note_unread(&shared, error)?,
                },
                () = until(next), if next.is_some() => self.begin_due().await?,
                () = shared.ledger.returned() => self.take_waiting().await?,
                () = shared.look.notified() => {}
            }
            self.note_position(&accepted);
        }
    }

    /// Takes on all jobs that wait, in the order of acceptance.
    async fn take_waiting(&mut self) -> Result<(), BoxError> {
        self.scheduled.clear();
        let mut last = 0;
        while let Some(waiting) = self.shared.ledger.next_waiting(last) {
            last = waiting.id;
            self.take(waiting, None).await?;
        }
        Ok(())
    }

    fn note_position(&self, accepted: &EventSubscription) {
        if let Some(position) = accepted.position() {
            self.shared.ledger.has_read(position.get());
            self.shared.move_hold();
        }
    }

    /// A job was accepted.
    async fn read(&mut self, event: &Arc<Event>) -> Result<(), BoxError> {
        let shared = Arc::clone(&self.shared);
        if event.service() != Some(&*source(&shared.queue).service) {
            return Ok(());
        }
        let terms = match JobFact::of(event) {
            Ok(Some(JobFact::Accepted(terms))) => terms,
            _ => {
                unreadable(&shared, event, &"its payload is not that of a job");
                return Ok(());
            }
        };
        let id = event.id.get();
        match shared.ledger.accepted(id, &terms) {
            Acceptance::New => {}
            Acceptance::Repeats(first) => {
                let caller = shared.callers.take(event.correlation_id);
                answer(caller, Err(DurableJobError::Repeats { id: JobId::new(first) }));
                return Ok(());
            }
            Acceptance::Carried | Acceptance::Ended => return Ok(()),
        }
        match shared.ledger.waiting(id) {
            Some(waiting) => self.take(waiting, Some(event)).await,
            None => Ok(()),
        }
    }

    /// Takes on a job that waits: puts it into the pool, or keeps it until its time comes, or ends it.
    async fn take(&mut self, waiting: Waiting, event: Option<&Arc<Event>>) -> Result<(), BoxError> {
        if waiting.attempts >= self.shared.tries {
            let tries = waiting.attempts;
            let error = format!("it was begun {tries} times, and its process did not survive the last one");
            self.shared.ledger.died(waiting.id, error);
            return Ok(());
        }
        let wait = waiting.run_at.and_then(|time| time.duration_since(self.shared.clock.now()).ok());
        match wait.filter(|wait| !wait.is_zero()) {
            Some(wait) => {
                let far = Instant::now() + Duration::from_secs(86_400 * 365 * 30);
                self.scheduled.insert((Instant::now().checked_add(wait).unwrap_or(far), waiting.id));
                Ok(())
            }
            None => {
                let suspected = event.is_none() || self.shared.ledger.is_left(waiting.id);
                self.put_in(waiting, event, suspected).await
            }
        }
    }

    /// The time of scheduled jobs has come.
    async fn begin_due(&mut self) -> Result<(), BoxError> {
        let now = Instant::now();
        while let Some((_, id)) = self.scheduled.first().copied().filter(|(at, _)| *at <= now) {
            self.scheduled.pop_first();
            if let Some(waiting) = self.shared.ledger.waiting(id) {
                self.put_in(waiting, None, waiting.attempts > 0).await?;
            }
        }
        Ok(())
    }

    /// Puts a job into the pool, as soon as that has room.
    async fn put_in(&self, waiting: Waiting, event: Option<&Arc<Event>>, suspected: bool) -> Result<(), BoxError> {
        let shared = &self.shared;
        let event = match (event, EventId::new(waiting.record)) {
            (Some(event), _) => Some(Arc::clone(event)),
            (None, Some(record)) => shared.events.get(record).await?,
            (None, None) => None,
        };
        let Some(event) = event else { return Ok(()) };
        let strict = suspected || self.poison == Poison::Strict;
        // The next job waits with it: those of a key stay in order.
        loop {
            let mut opened = pin!(self.pool.control.opened.notified());
            // Subscribe before offering: a pool that opens in between is not missed.
            opened.as_mut().enable();
            if self.offer(&waiting, &event, strict).await {
                return Ok(());
            }
            opened.await;
        }
    }

    /// Offers a job to the pool. False if that is drained, or restarts: then the job has come back.
    async fn offer(&self, waiting: &Waiting, event: &Event, strict: bool) -> bool {
        let shared = &self.shared;
        let AcceptedJob { job, terms } = match AcceptedJob::<J>::of(event) {
            Ok(accepted) => accepted,
            Err(error) => {
                unreadable(shared, event, &error);
                // Its id is another one if it was carried on.
                shared.ledger.put_in(waiting.id);
                return true;
            }
        };
        let job = DurableJob { id: waiting.id, job: Some(job), attempts: waiting.attempts, strict, not_begun: 0 };
        let settlement = Settlement::new(shared, waiting.id, shared.callers.take(event.correlation_id));
        let reply = Some(Reply::settled_by(settlement));
        let key = terms.key.as_deref().and_then(|key| JobKey::new(shortened(key)).ok());
        let options = JobOptions::of_key(key);
        let put = self.pool.queue.put_when_room(NewJob { job, reply, level: 0, options }, Instant::now()).await;
        let is_taken = put.is_ok();
        drop_contained("a job", put);
        is_taken
    }
}

/// What the log says of the jobs that may be unfinished, beside the jobs themselves.
async fn recover<T: Send + 'static>(shared: &Shared<T>) -> Result<Recovery, BoxError> {
    // One that has just failed may show too little.
    shared.settled().await?;
    let newest = shared.events.position().map_or(0, EventId::get);
    let of_queue = || Query::new().source(source(&shared.queue));
    let last_done = of_queue().kind(JobEvent::DONE).order(Order::Descending).limit(1);
    let last_done = shared.events.query(last_done).await?;
    let from = last_done.first().map(|event| event.payload_as::<JobsDone>()).transpose()?.map_or(1, |done| done.from);
    let mut recovery = Recovery::new(from.saturating_sub(1), newest);
    let mut after = EventId::new(recovery.after);
    loop {
        let page = of_queue().kinds(JobEvent::LATER).limit(PAGE);
        let page = shared.events.query(after.into_iter().fold(page, Query::after)).await?;
        for event in &page {
            match JobFact::of(event) {
                Ok(Some(fact)) => recovery.note(event.id.get(), fact),
                Ok(None) => {}
                Err(error) => unreadable(shared, event, &error),
            }
        }
        after = page.last().map(|event| event.id);
        if page.len() < PAGE {
            return Ok(recovery);
        }
    }
}

/// The beginning of a key that is longer than the pool takes: jobs whose keys begin alike are in order, too.
fn shortened(key: &str) -> &str {
    let end = (0..=key.len().min(MAX_KEY_BYTES)).rev().find(|end| key.is_char_boundary(*end));
    end.map_or("", |end| &key[..end])
}

async fn until(next: Option<(Instant, u64)>) {
    if let Some((at, _)) = next {
        #[expect(clippy::disallowed_methods, reason = "the delay is what this is for")]
        sleep_until(at).await;
    }
}

/// A job that this program cannot read. It stays in the log: a program that can performs it.
fn unreadable<T: Send + 'static>(shared: &Shared<T>, event: &Event, error: &dyn std::fmt::Display) {
    shared.ledger.unreadable(event.id.get());
    report(
        || tracing::error!(queue = %shared.queue, job = %event.id, %error, "a durable job cannot be read, and waits"),
    );
}

/// # Errors
/// The store has opened another log.
fn note_unread<T: Send + 'static>(shared: &Shared<T>, error: SubscriptionError) -> Result<(), BoxError> {
    if matches!(error, SubscriptionError::Rewound { .. }) {
        return Err(error.into());
    }
    report(|| tracing::warn!(queue = %shared.queue, %error, "durable jobs are not read"));
    Ok(())
}
