//! Exports of events.
//!
//! # Invariants
//!
//! 1. The event store remembers, under the name of the exporter, the last event that was exported; no other place does.
//! 2. It is acknowledged there after the exporter has exported it, and not before. So an event is exported at least once.
//! 3. Events that were read and are not acknowledged are a batch, which is exported before later ones are read.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use foundation_events::{DurableSubscription, Event, EventId, SubscriptionError, SubscriptionName, SubscriptionSpec};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::exporter::{ExportFault, Exported, Target};
use crate::source::Source;
use crate::spec::{AnyExporter, ExporterSpec};

mod file;

pub use file::{EventFileExporter, EventFormat};

/// At most so many events are exported at once.
const MAX_EVENTS: usize = 1_000;
/// No further event is added to so many bytes.
const MAX_BYTES: usize = 4 << 20;

/// Takes events somewhere else: those of the namespace's [event store](foundation_events::EventStore), in their order, from the
/// beginning of the log. Made anew for each life of its task.
///
/// Each export is of all events up to now, in batches of at most 1,000 events and about 4 MiB, for as long as half of its
/// [time limit](ExporterSpec::timeout); the next one goes on. The event store remembers the last event that was exported, as that of
/// the [durable subscription](foundation_events::EventStore::subscribe_durable) `export.` with the name of the exporter. So no event
/// is lost by a failure, a restart of the exporter or of the process; the events of a batch whose export failed, or whose end was not
/// recorded, are exported again. Events that were pruned before they were exported are counted
/// as [dropped](crate::ExporterStats::series_dropped), and so are damaged ones.
///
/// ```
/// use std::sync::Arc;
///
/// use foundation_events::Event;
/// use foundation_export::{EventExporter, Exported, ExporterSpec, ExportFault, Target};
/// use tokio::sync::mpsc;
///
/// /// Sends what happens to orders through a channel.
/// struct Orders(mpsc::Sender<Arc<Event>>);
///
/// impl EventExporter for Orders {
///     const FORMAT: &'static str = "json";
///
///     fn target(&self) -> Target {
///         Target::new("a channel")
///     }
///
///     fn wants(&self, event: &Event) -> bool {
///         event.kind.as_str().starts_with("order_")
///     }
///
///     async fn export(&mut self, events: &[Arc<Event>]) -> Result<Exported, ExportFault> {
///         for event in events {
///             self.0.send(Arc::clone(event)).await.map_err(ExportFault::fatal)?;
///         }
///         Ok(Exported::new(0, events.len()))
///     }
/// }
///
/// let (sender, received) = mpsc::channel(100);
/// let spec = ExporterSpec::of_events(move || Orders(sender.clone()));
/// # let _ = (spec, received);
/// ```
pub trait EventExporter: Send + 'static {
    /// The format, by the name under which it is registered.
    const FORMAT: &'static str;

    /// Where the events go, for people, and without secrets.
    fn target(&self) -> Target;

    /// Whether an event is exported. By default all are.
    fn wants(&self, _: &Event) -> bool {
        true
    }

    /// Exports events, at least one. It is dropped when its time is over. [`Exported::series`] is the number of events.
    ///
    /// # Errors
    /// [`ExportFault`] says whether another attempt makes sense within this period; the same events come again in any case.
    fn export(&mut self, events: &[Arc<Event>]) -> impl Future<Output = Result<Exported, ExportFault>> + Send;
}

impl ExporterSpec {
    /// An exporter of [events](EventExporter) that is made by this function, anew for each life of its task. Its name has at most 121
    /// bytes.
    pub fn of_events<E: EventExporter>(make: impl Fn() -> E + Send + Sync + 'static) -> Self {
        Self::of(E::FORMAT, Arc::new(move || Box::new(OfEvents::new(make()))))
    }
}

/// An exporter of events, and the events that it has not exported yet.
struct OfEvents<E> {
    exporter: E,
    reader: Option<DurableSubscription>,
    pending: Pending,
    /// What was exported by attempts that failed afterwards.
    done: Exported,
}

/// Events that were read and are not acknowledged.
#[derive(Default)]
struct Pending {
    events: Vec<Arc<Event>>,
    bytes: usize,
    /// The last event that was read, whether it is among them or not.
    last: Option<EventId>,
    /// How many events cannot be read any more.
    lost: u64,
}

impl Pending {
    fn is_full(&self) -> bool {
        self.events.len() >= MAX_EVENTS || self.bytes >= MAX_BYTES
    }

    fn add(&mut self, event: Arc<Event>) {
        self.bytes += size(&event);
        self.events.push(event);
    }

    fn lose(&mut self, from: EventId, to: EventId) {
        self.last = Some(to);
        self.lost += to.get().saturating_sub(from.get()) + 1;
    }
}

impl<E: EventExporter> OfEvents<E> {
    fn new(exporter: E) -> Self {
        Self { exporter, reader: None, pending: Pending::default(), done: Exported::default() }
    }

    /// Exports all events up to now, for as long as half of the limit.
    async fn export_events(&mut self, source: &Source<'_>, limit: Duration) -> Result<Exported, ExportFault> {
        let begun = Instant::now();
        let Some(newest) = source.events.position() else { return Ok(Exported::default()) };
        loop {
            self.subscribe(source, newest).await?;
            // A batch whose export failed stays as it is: what of it has arrived can be recognized.
            if self.pending.events.is_empty() {
                self.read_up_to(newest).await?;
            }
            if self.pending.last.is_none() {
                break;
            }
            self.export_pending().await?;
            if begun.elapsed() >= limit / 2 {
                break;
            }
        }
        Ok(std::mem::take(&mut self.done))
    }

    async fn subscribe(&mut self, source: &Source<'_>, newest: EventId) -> Result<(), ExportFault> {
        // The store has opened another log, whose events begin anew.
        if self.reader.as_ref().is_some_and(|reader| reader.acknowledged() > Some(newest)) {
            (self.reader, self.pending) = Default::default();
        }
        if self.reader.is_none() {
            let name = SubscriptionName::new(format!("export.{}", source.exporter)).map_err(ExportFault::fatal)?;
            let spec = SubscriptionSpec::from_beginning().consumer(format!("exporter {}", source.exporter));
            self.reader = Some(source.events.subscribe_durable(name, spec).await.map_err(ExportFault::retry)?);
        }
        Ok(())
    }

    /// Reads events until there is a batch, or no further one up to this.
    async fn read_up_to(&mut self, newest: EventId) -> Result<(), ExportFault> {
        let Self { exporter, reader: Some(reader), pending, .. } = self else { return Ok(()) };
        while !pending.is_full() && pending.last.max(reader.acknowledged()) < Some(newest) {
            match reader.next().await {
                Ok(Some(event)) => {
                    pending.last = Some(event.id);
                    if exporter.wants(&event) {
                        pending.add(event);
                    }
                }
                Ok(None) => return Err(ExportFault::fatal("the event store has ended")),
                Err(SubscriptionError::Missed { from, to } | SubscriptionError::Lost { from, to }) => {
                    pending.lose(from, to);
                }
                Err(SubscriptionError::Damaged { event, .. }) => pending.lose(event, event),
                // The reader goes on from the same event.
                Err(error @ SubscriptionError::Store(_)) => return Err(ExportFault::retry(error)),
                Err(error) => {
                    (self.reader, self.pending) = Default::default();
                    return Err(ExportFault::retry(error));
                }
            }
        }
        Ok(())
    }

    async fn export_pending(&mut self) -> Result<(), ExportFault> {
        let Self { exporter, reader: Some(reader), pending, done } = self else { return Ok(()) };
        let Some(last) = pending.last else { return Ok(()) };
        let exported = match pending.events.is_empty() {
            true => Exported::default(),
            false => exporter.export(&pending.events).await?,
        };
        reader.ack(last).await.map_err(ExportFault::retry)?;
        done.add(exported);
        if pending.lost > 0 {
            let lost = usize::try_from(pending.lost).unwrap_or(usize::MAX);
            done.add(Exported::default().rejected(lost, "they were pruned before they were exported, or are damaged"));
        }
        *pending = Pending::default();
        Ok(())
    }
}

impl<E: EventExporter> AnyExporter for OfEvents<E> {
    fn target(&self) -> Target {
        self.exporter.target()
    }

    fn validate(&self, _: &Source<'_>) -> Result<(), ExportFault> {
        Ok(())
    }

    fn export<'a>(
        &'a mut self,
        source: &'a Source<'a>,
        limit: Duration,
    ) -> BoxFuture<'a, Result<Exported, ExportFault>> {
        self.export_events(source, limit).boxed()
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<(), ExportFault>> {
        async { Ok(()) }.boxed()
    }
}

/// The bytes of an event as JSON.
fn size(event: &Event) -> usize {
    let mut counted = Counted(0);
    // An event has a form in JSON, and counting cannot fail.
    drop(serde_json::to_writer(&mut counted, event));
    counted.0
}

/// Counts the bytes that are written.
struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
