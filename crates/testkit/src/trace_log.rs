use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use tracing::Level;
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};

/// The tracing events of a thread: their levels, and lines `message field=value …`. Clones are the same log.
#[derive(Debug, Clone, Default)]
pub struct TraceLog(Arc<Mutex<Vec<(Level, String)>>>);

impl TraceLog {
    /// Records the events of this thread, up to this level, until the guard is dropped.
    pub fn of_thread(level: Level) -> (Self, DefaultGuard) {
        let log = Self::default();
        let guard = subscribe(log.clone().with_filter(LevelFilter::from_level(level)));
        (log, guard)
    }

    /// The events during this function.
    pub fn during(run: impl FnOnce()) -> Vec<(Level, String)> {
        let (log, _guard) = Self::of_thread(Level::TRACE);
        run();
        log.take()
    }

    /// Removes and returns all events so far.
    pub fn take(&self) -> Vec<(Level, String)> {
        std::mem::take(&mut *self.entries())
    }

    /// All events so far, as `LEVEL message field=value …`.
    pub fn all(&self) -> Vec<String> {
        self.lines(&[])
    }

    /// The events whose lines `LEVEL message field=value …` contain all of these.
    pub fn lines(&self, parts: &[&str]) -> Vec<String> {
        let lines = self.entries().iter().map(|(level, text)| format!("{level} {text}")).collect::<Vec<_>>();
        lines.into_iter().filter(|line| parts.iter().all(|part| line.contains(part))).collect()
    }

    fn entries(&self) -> MutexGuard<'_, Vec<(Level, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: tracing::Subscriber> Layer<S> for TraceLog {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = EventText::default();
        event.record(&mut line);
        self.entries().push((*event.metadata().level(), line.message + &line.fields));
    }
}

/// Makes a layer this thread's own subscriber, until the guard is dropped.
pub fn subscribe<L>(layer: L) -> DefaultGuard
where
    L: Layer<tracing_subscriber::Registry> + Send + Sync,
{
    // As long as there is only one subscriber in the process, tracing asks the first thread that comes to an event for
    // its interest in it, and remembers the answer for all threads. These two want nothing, and are always there.
    static OTHERS: LazyLock<[tracing::Dispatch; 2]> =
        LazyLock::new(|| [(); 2].map(|()| tracing_subscriber::registry().with(LevelFilter::OFF).into()));
    LazyLock::force(&OTHERS);
    tracing::subscriber::set_default(tracing_subscriber::registry().with(layer))
}

/// An event's message and its other fields.
#[derive(Default)]
struct EventText {
    message: String,
    fields: String,
}

impl Visit for EventText {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.fields += &format!(" {name}={value:?}"),
        }
    }
}
