//! The event store's actor: the owner of the writer's life, and of the retention.

use std::sync::Arc;
use std::thread;

use foundation_core::ractor::concurrency::JoinHandle;
use foundation_core::ractor::{Actor, ActorProcessingErr, ActorRef, MessagingErr};
use foundation_core::{ServiceKey, local_message};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::clock::Clock;
use super::failure::LogFailure;
use super::gate::{Gate, Way};
use super::hold::Pruned;
use super::id::EventId;
use super::job::{Unanswered, chore};
use super::lane::Lane;
use super::log::{EventLog, EventReader, PruneBound};
use super::readers::Readers;
use super::retention::{Retention, RetentionReport, TellRetention};
use super::storage::Opener;
use super::writer::Writer;

/// The name of the event store in each namespace.
pub(crate) const EVENT_STORE: ServiceKey<EventStoreMsg> = ServiceKey::new("event_store");

pub(crate) enum EventStoreMsg {
    /// The writer has ended.
    Failed(Unanswered),
    /// It is time to look at the retention.
    Look,
    /// Go on with it.
    Retain(Looking),
}
local_message!(EventStoreMsg);

/// A look at the retention that is under way: what is still to be done, in order, and what came of it so far.
pub(crate) struct Looking {
    begun: Instant,
    bounds: Vec<PruneBound>,
    report: RetentionReport,
}

pub(super) struct EventStoreServer {
    pub(super) gate: Arc<Gate>,
    pub(super) opener: Opener,
    pub(super) clock: Clock,
    pub(super) retention: Retention,
    pub(super) told: TellRetention,
}

pub(crate) struct Running {
    // First the gate is shut, then those hear of it who are left without an answer.
    _shut: ShutOnDrop,
    unanswered: Option<Unanswered>,
    next_look: Option<Alarm>,
}

/// However the actor ends, its writer gets nothing more to do.
struct ShutOnDrop(Arc<Gate>);

impl Drop for ShutOnDrop {
    fn drop(&mut self) {
        self.0.shut();
    }
}

/// A message to come, unless this is dropped before.
struct Alarm(JoinHandle<Result<(), MessagingErr<EventStoreMsg>>>);

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A log as it was found. The seat goes last, also if nobody awaits the opening any more.
struct Opened {
    reader: Box<dyn EventReader>,
    position: Option<EventId>,
    log: Box<dyn EventLog>,
    seat: OwnedSemaphorePermit,
}

fn open(opener: &Opener, known: Option<EventId>, seat: OwnedSemaphorePermit) -> Result<Opened, LogFailure> {
    let log = opener.open(known)?;
    let reader = log.reader()?;
    let position = reader.stats()?.position();
    opener.accept(known, position)?;
    Ok(Opened { reader, position, log, seat })
}

impl EventStoreServer {
    async fn open(&self) -> Result<Opened, ActorProcessingErr> {
        // The writer before has to be gone: two would give ids twice.
        let seat = Arc::clone(&self.gate.seat).acquire_owned().await?;
        let (opener, known) = (self.opener.clone(), self.gate.position());
        let opened = match opener.may_block() {
            true => spawn_blocking(move || open(&opener, known, seat)).await?,
            false => open(&opener, known, seat),
        };
        Ok(opened?)
    }

    fn start(&self, myself: ActorRef<EventStoreMsg>, opened: Opened) -> Result<Running, ActorProcessingErr> {
        let Opened { reader, position, log, seat } = opened;
        let readers = Readers::new(reader, self.opener.may_block());
        let shut = ShutOnDrop(Arc::clone(&self.gate));
        let writer = |inbox, runtime| Writer {
            log,
            inbox,
            clock: Arc::clone(&self.clock),
            failed: Box::new(move |unanswered| drop(myself.cast(EventStoreMsg::Failed(unanswered)))),
            runtime,
            _seat: seat,
        };
        if self.opener.may_block() {
            let (sender, jobs) = mpsc::unbounded_channel();
            let inbox = self.gate.open(position, readers, |inbox| (Way::Thread(sender), inbox));
            let writer = writer(inbox, Some(Handle::current()));
            thread::Builder::new().name("event_store".to_owned()).spawn(move || writer.run(jobs))?;
        } else {
            self.gate.open(position, readers, |inbox| (Way::Here(Lane::new(writer(inbox, None))), ()));
        }
        Ok(Running { _shut: shut, unanswered: None, next_look: None })
    }

    fn schedule(&self, myself: &ActorRef<EventStoreMsg>, running: &mut Running) {
        let period = self.retention.period();
        running.next_look = period.map(|period| Alarm(myself.send_after(period, || EventStoreMsg::Look)));
    }

    /// One chunk of the first bound, or, when all are met, one of upkeep.
    async fn retain(&self, looking: &mut Looking) -> Result<bool, String> {
        let Some(bound) = looking.bounds.first().copied() else {
            return self.ask(|log| log.maintain()).await;
        };
        let hold = Arc::clone(&self.gate.hold);
        let Pruned { events, held_back } = self.ask(move |log| hold.prune(log, bound)).await?;
        looking.report.add(bound, events);
        if held_back.is_some() {
            self.gate.hold.press();
        }
        if events == 0 {
            looking.bounds.remove(0);
        }
        Ok(true)
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn EventLog) -> Result<T, LogFailure> + Send + 'static,
    ) -> Result<T, String> {
        let (job, answer) = chore(move |log| Ok((work(log)?, None)));
        let gone = || "the writer has ended".to_owned();
        self.gate.send(job).map_err(|_| gone())?;
        tokio::select! {
            biased;
            answered = answer => answered.map_err(|_| gone()),
            // A writer that has failed leaves its queue, with this job in it, in our mailbox: nobody would ever answer.
            _ = self.gate.seat.acquire() => Err(gone()),
        }
    }
}

#[cfg_attr(feature = "async-trait", foundation_core::ractor::async_trait)]
impl Actor for EventStoreServer {
    type Msg = EventStoreMsg;
    type State = Running;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<EventStoreMsg>, (): ()) -> Result<Running, ActorProcessingErr> {
        let opened = self.open().await?;
        let mut running = self.start(myself.clone(), opened)?;
        self.schedule(&myself, &mut running);
        Ok(running)
    }

    async fn post_stop(&self, _: ActorRef<EventStoreMsg>, _: &mut Running) -> Result<(), ActorProcessingErr> {
        // In order: what was asked is done before the store is gone.
        self.gate.shut();
        drop(self.gate.seat.acquire().await);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<EventStoreMsg>,
        message: EventStoreMsg,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            EventStoreMsg::Failed(unanswered) => {
                let failure = unanswered.failure.clone();
                running.unanswered = Some(unanswered);
                return Err(failure.into());
            }
            EventStoreMsg::Look => {
                let bounds = self.retention.bounds((self.clock)());
                let looking = Looking { begun: Instant::now(), bounds, report: RetentionReport::default() };
                myself.cast(EventStoreMsg::Retain(looking))?;
            }
            // A message a chunk: between two of them the store can be stopped.
            // On the heap: else the actor would keep the room for it between two looks as well.
            EventStoreMsg::Retain(mut looking) => match Box::pin(self.retain(&mut looking)).await {
                Ok(true) => myself.cast(EventStoreMsg::Retain(looking))?,
                outcome => {
                    looking.report.failure = outcome.err();
                    looking.report.took = looking.begun.elapsed();
                    (self.told)(&looking.report);
                    self.schedule(&myself, running);
                }
            },
        }
        Ok(())
    }
}
