//! The event store's actor: it owns the life cycle of the writer, and the retention.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use foundation_kernel::containment::{catch_panic, display_text, report};
use foundation_kernel::ractor::{Actor, ActorProcessingErr, ActorRef, MessagingErr};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::handle::{Transport, WriterHandle};
use super::hold::Pruned;
use super::message::EventStoreMsg;
use super::retention::{Clock, RetentionClock, RetentionRun};
use super::storage::Opener;
use super::writer::{Writer, log_task};
use crate::{
    Append, EventId, EventLog, EventReader, EventStorage, EventStoreLimits, LogError, NewEvent, Outage, ReaderSource,
};

pub(super) struct EventStoreServer {
    handle: Arc<WriterHandle>,
    opener: Opener,
    storage: EventStorage,
}

/// A message to come, cancelled on drop.
type Alarm = AbortOnDropHandle<Result<(), MessagingErr<EventStoreMsg>>>;

pub(super) struct Running {
    _shut: ShutOnDrop,
    next_run: Option<Alarm>,
    next_try: Option<Alarm>,
    reopening: Reopening,
    clock: RetentionClock,
}

/// Shuts the handle however the actor ends, so that its writer gets no more jobs.
struct ShutOnDrop(Arc<WriterHandle>);

impl Drop for ShutOnDrop {
    fn drop(&mut self) {
        self.0.shut();
    }
}

/// A log as it was found. The permit is dropped last, even if the opening is no longer awaited.
struct Opened {
    reader: Box<dyn EventReader>,
    source: Option<ReaderSource>,
    position: Option<EventId>,
    /// When the newest event was recorded.
    newest: Option<SystemTime>,
    log: Box<dyn EventLog>,
    permit: OwnedSemaphorePermit,
}

/// The first append to a log that had failed: only an append shows whether the log takes anything.
type Probe = Option<Append>;

/// The parameters of an opening.
struct OpenRequest {
    opener: Opener,
    clock: Clock,
    /// Whether the store has had its log open before.
    again: bool,
    /// The last position that the store has acknowledged.
    known: Option<EventId>,
    probe: Probe,
}

impl OpenRequest {
    fn open(self, permit: OwnedSemaphorePermit) -> Result<Opened, LogError> {
        let (mut log, reader) = self.opener.open(self.again, self.known)?;
        if let Some(probe) = self.probe {
            log.commit(vec![probe], (self.clock)())?;
        }
        let stats = reader.stats()?;
        // An event that cannot be read is no reason not to open the log.
        let newest = stats.newest.and_then(|newest| reader.get(newest).ok().flatten());
        let (position, newest) = (stats.position(), newest.map(|event| event.recorded_at));
        Ok(Opened { reader, source: log.reader_source(), position, newest, log, permit })
    }
}

impl EventStoreServer {
    /// The actor of a store with this handle, whose log is opened by `opener` and kept as the storage says.
    pub(super) fn new(handle: Arc<WriterHandle>, opener: Opener, storage: EventStorage) -> Self {
        Self { handle, opener, storage }
    }

    async fn open(&self, probe: Probe) -> Result<Opened, LogError> {
        // The previous writer must be gone: two would give ids twice.
        let closed = |error: &dyn fmt::Display| LogError::new("opening", "the event store", error.to_string());
        let permit = Arc::clone(&self.handle.writer_slot).acquire_owned().await.map_err(|error| closed(&error))?;
        let (opener, clock, known) = (self.opener.clone(), Arc::clone(&self.storage.clock), self.handle.position());
        let (may_block, again) = (opener.may_block(), self.handle.readers.were_opened());
        let open = move || catch_panic(|| OpenRequest { opener, clock, again, known, probe }.open(permit));
        let opened = if may_block { spawn_blocking(open).await.map_err(|error| closed(&error))? } else { open() };
        opened.unwrap_or_else(|panic| Err(closed(&format_args!("it panicked: {panic}"))))
    }

    fn start(&self, myself: ActorRef<EventStoreMsg>, opened: Opened) -> std::io::Result<()> {
        let Opened { reader, source, position, log, permit, .. } = opened;
        self.handle.readers.opened(reader, source, self.opener.may_block());
        // An actor that has ended is no error: its successor opens the log again.
        let failed = Box::new(move || drop(myself.cast(EventStoreMsg::Failed)));
        let writer = |inbox, runtime| Writer::new(log, inbox, Arc::clone(&self.storage.clock), failed, runtime, permit);
        if self.opener.may_block() {
            let (sender, jobs) = mpsc::unbounded_channel();
            let inbox = self.handle.open(position, |inbox| (Transport::Thread(sender), inbox));
            let writer = writer(inbox, Some(Handle::current()));
            thread::Builder::new().name("event_store".to_owned()).spawn(move || writer.run(jobs))?;
        } else {
            self.handle.open(position, |inbox| (Transport::combining(writer(inbox, None)), ()));
        }
        Ok(())
    }

    /// The first opening after a start: a store that had its log before begins without it if necessary; one that never
    /// had it does not begin.
    async fn begin(&self, myself: &ActorRef<EventStoreMsg>, running: &mut Running) -> Result<(), ActorProcessingErr> {
        match self.open(None).await {
            Ok(opened) => {
                running.clock = self.clock(opened.newest);
                self.start(myself.clone(), opened)?;
            }
            Err(cause) if self.handle.readers.were_opened() => {
                self.handle.begin_without(Outage { since: self.time_of_day(), cause });
                self.try_later(myself, running);
            }
            Err(cause) => return Err(cause.into()),
        }
        Ok(())
    }

    /// Opens the log again after a failure.
    async fn reopen(&self, myself: &ActorRef<EventStoreMsg>, running: &mut Running) {
        // The store may have its log again already, if its failure was reported twice.
        let Some(outage) = self.handle.outage() else { return };
        let probe = probe(&outage, running.reopening.tries());
        let opened = match self.open(Some(probe)).await {
            Ok(opened) => {
                self.start(myself.clone(), opened).map_err(|error| LogError::new("starting", "the writer", error))
            }
            Err(cause) => Err(cause),
        };
        match opened {
            Ok(()) => {
                running.reopening.succeeded(Instant::now());
                report(|| tracing::info!(since = ?outage.since, "the event store records again"));
            }
            Err(cause) => {
                self.handle.fail(Outage { since: outage.since, cause });
                self.try_later(myself, running);
            }
        }
    }

    fn try_later(&self, myself: &ActorRef<EventStoreMsg>, running: &mut Running) {
        let delay = running.reopening.failed(Instant::now(), &self.handle.limits);
        if let Some(Outage { cause, .. }) = self.handle.outage() {
            report(|| tracing::warn!(%cause, ?delay, "the event store cannot record, and opens its log again"));
        }
        running.next_try = Some(AbortOnDropHandle::new(myself.send_after(delay, || EventStoreMsg::Reopen)));
    }

    fn time_of_day(&self) -> SystemTime {
        catch_panic(|| (self.storage.clock)()).unwrap_or_else(|_| SystemTime::now())
    }

    /// The clock of the retention, from now on.
    fn clock(&self, newest: Option<SystemTime>) -> RetentionClock {
        self.storage.retention.clock(newest, self.time_of_day())
    }

    /// A run with the bounds that apply now.
    fn begin_run(&self, running: &mut Running) -> RetentionRun {
        let run = self.storage.retention.begin(&mut running.clock, self.time_of_day());
        if let Some(ahead) = run.jump() {
            report(|| {
                tracing::warn!(?ahead, "the time of day is ahead of what has passed; no event is older for it yet")
            });
        }
        run
    }

    fn schedule(&self, myself: &ActorRef<EventStoreMsg>, running: &mut Running) {
        let period = self.storage.retention.period();
        running.next_run =
            period.map(|period| AbortOnDropHandle::new(myself.send_after(period, || EventStoreMsg::BeginRetention)));
    }

    /// One chunk of the first bound, or, when all are met, one of maintenance.
    async fn retain(&self, run: &mut RetentionRun) -> Result<bool, String> {
        let Some(bound) = run.bound() else {
            return self.ask(|log| log.maintain()).await;
        };
        let hold = self.handle.hold.clone();
        match self.ask(move |log| hold.prune(log, bound)).await? {
            Pruned::Events(events) => run.pruned(bound, events),
            Pruned::HeldBack(kept) => {
                run.pruned(bound, 0);
                // Others that hold the next events are notified by the next run.
                self.handle.hold.notify_holders(kept, &mut BTreeSet::new());
            }
            Pruned::Nothing => run.pruned(bound, 0),
        }
        Ok(true)
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn EventLog) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, String> {
        let (job, answer) = log_task(move |log| Ok((work(log)?, None)));
        let gone =
            || self.handle.outage().map_or_else(|| "the writer has ended".to_owned(), |outage| outage.to_string());
        self.handle.send(job).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }
}

/// The event by which a store that has its log again reports the outage.
fn probe(outage: &Outage, tries: u32) -> Append {
    let payload = json!({ "cause": display_text(&outage.cause), "tries": tries });
    // A JSON value always has a form in JSON.
    let event = NewEvent::of(Outage::KIND).source("event_store").payload(payload);
    Append::new(event.into_iter().collect())
}

#[cfg_attr(feature = "async-trait", foundation_kernel::ractor::async_trait)]
impl Actor for EventStoreServer {
    type Msg = EventStoreMsg;
    type State = Running;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<EventStoreMsg>, (): ()) -> Result<Running, ActorProcessingErr> {
        let (shut, reopening) = (ShutOnDrop(Arc::clone(&self.handle)), Reopening::default());
        let clock = self.clock(None);
        let mut running = Running { _shut: shut, next_run: None, next_try: None, reopening, clock };
        self.begin(&myself, &mut running).await?;
        self.schedule(&myself, &mut running);
        Ok(running)
    }

    async fn post_stop(&self, _: ActorRef<EventStoreMsg>, _: &mut Running) -> Result<(), ActorProcessingErr> {
        // In order: requested appends are recorded before the store is gone; reads are interrupted.
        self.handle.shut();
        let (_, permit) = futures::join!(self.handle.readers.end(), self.handle.writer_slot.acquire());
        drop(permit);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<EventStoreMsg>,
        message: EventStoreMsg,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            EventStoreMsg::Failed => self.try_later(&myself, running),
            EventStoreMsg::Reopen => Box::pin(self.reopen(&myself, running)).await,
            EventStoreMsg::BeginRetention => {
                let run = self.begin_run(running);
                myself.cast(EventStoreMsg::ContinueRetention(run))?;
            }
            // One message per chunk: between two of them the store can be stopped. Boxed: otherwise the actor would
            // keep the space for it between two runs as well.
            EventStoreMsg::ContinueRetention(mut run) => match Box::pin(self.retain(&mut run)).await {
                Ok(true) => myself.cast(EventStoreMsg::ContinueRetention(run))?,
                outcome => {
                    let retained = run.end(outcome.err());
                    if let Err(panic) = catch_panic(|| (self.storage.on_retention)(&retained)) {
                        report(|| tracing::warn!(%panic, "the callback of a retention run panicked"));
                    }
                    self.schedule(&myself, running);
                }
            },
        }
        Ok(())
    }
}

// ---- when a log that has failed is opened again: a pure decision ----

/// The failures of a log in a row, and the pause that follows from them.
///
/// The first failure is answered at once, since most errors are over when the log is opened again. Each further one
/// that comes [within a minute](EventStoreLimits::reopen_steady) of the last success makes the store wait longer, up to
/// a limit: so a disk that takes small events and no large ones is not asked without a pause either.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Reopening {
    failures: u32,
    working_since: Option<Instant>,
}

impl Reopening {
    /// The log has failed, or could not be opened; returns the pause before it is opened again.
    fn failed(&mut self, now: Instant, limits: &EventStoreLimits) -> Duration {
        if self.working_since.take().is_some_and(|since| now.saturating_duration_since(since) >= limits.reopen_steady) {
            self.failures = 0;
        }
        let delay = delay(self.failures, limits);
        self.failures = self.failures.saturating_add(1);
        delay
    }

    /// The log is open, and has recorded something.
    fn succeeded(&mut self, now: Instant) {
        self.working_since = Some(now);
    }

    /// The number of tries since the log last worked for long.
    fn tries(&self) -> u32 {
        self.failures
    }
}

fn delay(failures: u32, limits: &EventStoreLimits) -> Duration {
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(doubled) => {
            let factor = 2_u32.saturating_pow(doubled);
            // A pause of zero would be a busy loop.
            let first = limits.reopen_first.max(Duration::from_millis(1));
            first.saturating_mul(factor).min(limits.reopen_longest.max(first))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn limits() -> EventStoreLimits {
        EventStoreLimits::default()
    }

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn the_first_failure_is_answered_at_once_and_the_next_ones_ever_later() {
        let (mut reopening, now) = (Reopening::default(), Instant::now());
        let delays: Vec<_> = (0..10).map(|_| reopening.failed(now, &limits())).collect();
        let expected = [0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000].map(millis);
        assert_eq!(delays, expected);
    }

    #[test]
    fn a_log_that_has_worked_for_long_begins_anew_and_one_that_has_not_goes_on() {
        let (mut reopening, now) = (Reopening::default(), Instant::now());
        reopening.failed(now, &limits());
        reopening.succeeded(now);
        assert_eq!(reopening.failed(now + limits().reopen_steady - millis(1), &limits()), millis(100));
        reopening.succeeded(now);
        assert_eq!(reopening.failed(now + limits().reopen_steady, &limits()), Duration::ZERO);
    }

    proptest! {
        /// However the failures and successes of a log alternate, it is never opened in a tight loop.
        #[test]
        fn no_two_tries_in_a_row_come_without_a_pause(
            steps in vec((any::<bool>(), 0..59_999_u64), 1..100),
            first in 0..1_000_u64,
            longest in 0..60_000_u64,
        ) {
            let limits = limits().reopen_first(millis(first)).reopen_longest(millis(longest));
            let (mut reopening, mut now) = (Reopening::default(), Instant::now());
            reopening.failed(now, &limits);
            let mut before = Duration::ZERO;
            for (succeeds, works_for) in steps {
                if succeeds {
                    reopening.succeeded(now);
                    now += millis(works_for);
                }
                let delay = reopening.failed(now, &limits);
                prop_assert!(delay >= before.max(millis(1)));
                prop_assert!(delay <= limits.reopen_longest.max(limits.reopen_first).max(millis(1)));
                before = delay;
            }
        }
    }
}
