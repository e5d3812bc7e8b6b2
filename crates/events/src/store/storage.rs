use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use foundation_kernel::containment::{catch_panic, report};
use foundation_kernel::names::Namespace;

use super::retention::Clock;
use crate::{
    EventId, EventLimits, EventLog, EventReader, EventStoreLimits, LogError, MemoryLog, Retention, RetentionReport,
};

/// Where the events of each namespace are kept, and for how long: how a store opens its log, at its start and again
/// after each failure.
///
/// | | kept until |
/// |---|---|
/// | [`memory`](Self::memory), the default | the namespace ends |
/// | `sqlite` (feature `sqlite`) | the file is deleted |
/// | [`with`](Self::with) | as the log says |
///
/// A log in memory works on the runtime; any other writes on a thread of its own, and reads where blocking is allowed.
/// Under tokio's paused clock use memory: that clock does not wait for other threads, and limits elapse at once.
///
/// ```
/// use std::time::Duration;
/// use foundation_events::{EventStorage, Retention};
///
/// let a_day = Retention::new().max_age(Duration::from_secs(24 * 3600)).max_count(1_000_000);
/// let storage = EventStorage::memory().retention(a_day);
/// ```
#[derive(Clone)]
pub struct EventStorage {
    backend: Backend,
    pub(super) retention: Retention,
    limits: EventLimits,
    pub(super) clock: Clock,
    pub(super) on_retention: OnRetention,
}

/// Called with the report of each run of the retention.
type OnRetention = Arc<dyn Fn(&RetentionReport) + Send + Sync>;

/// Opens a log; the flag says whether it has been open before.
type Open = Arc<dyn Fn(Namespace, &EventStoreLimits, bool) -> Result<Box<dyn EventLog>, LogError> + Send + Sync>;

#[derive(Clone)]
enum Backend {
    Memory(EventLimits),
    Custom(Open),
}

impl EventStorage {
    /// In memory, for as long as the namespace exists: a restarted store has all its events, a restarted process none.
    pub fn memory() -> Self {
        Self::memory_within(EventLimits::default())
    }

    /// In memory, with other limits.
    pub fn memory_within(limits: EventLimits) -> Self {
        Self::new(Backend::Memory(limits.clone()), limits)
    }

    /// In a custom log, which the function opens, where blocking is allowed. It is called again after each failure of
    /// the log and each restart of the store, once the log before is dropped. It must find what was recorded: a log
    /// that ends before what the store has acknowledged is refused.
    pub fn with<L: EventLog>(open: impl Fn(Namespace) -> Result<L, LogError> + Send + Sync + 'static) -> Self {
        Self::reopening(move |namespace, _, _| open(namespace))
    }

    /// The same for a log with the limits of its store, whose function also gets whether the log has been open before.
    pub(crate) fn reopening<L: EventLog>(
        open: impl Fn(Namespace, &EventStoreLimits, bool) -> Result<L, LogError> + Send + Sync + 'static,
    ) -> Self {
        let open =
            move |namespace, limits: &_, again| Ok(Box::new(open(namespace, limits, again)?) as Box<dyn EventLog>);
        Self::new(Backend::Custom(Arc::new(open)), EventLimits::default())
    }

    fn new(backend: Backend, limits: EventLimits) -> Self {
        let (clock, on_retention): (Clock, OnRetention) = (Arc::new(SystemTime::now), Arc::new(|_| ()));
        Self { backend, retention: Retention::new(), limits, clock, on_retention }
    }

    /// How long events are kept; by default, until they are pruned by hand.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// The clock of its stores; the system's by default. It gives events their times.
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Adds a function that is called after each run of the retention, on the store's own task: it must be brief. A panic
    /// in it is only logged.
    pub fn on_retention(mut self, call: impl Fn(&RetentionReport) + Send + Sync + 'static) -> Self {
        let earlier = self.on_retention;
        self.on_retention = Arc::new(move |retention| {
            let others = catch_panic(|| earlier(retention));
            call(retention);
            if let Err(panic) = others {
                report(|| tracing::error!(%panic, "a callback of the retention panicked"));
            }
        });
        self
    }

    /// The same for a log that takes events within these limits.
    #[cfg(feature = "sqlite")]
    pub(crate) fn taking(mut self, limits: EventLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The limits of its logs; the default ones for a custom log.
    pub fn limits(&self) -> &EventLimits {
        &self.limits
    }

    /// How one namespace's store opens its log.
    pub(super) fn opener(
        &self,
        namespace: Namespace,
        limits: &EventStoreLimits,
        kept: impl FnOnce(EventLimits) -> MemoryLog,
    ) -> Opener {
        match &self.backend {
            Backend::Memory(limits) => Opener::Memory(kept(limits.clone())),
            Backend::Custom(open) => Opener::Custom(namespace, Box::new(limits.clone()), Arc::clone(open)),
        }
    }
}

impl Default for EventStorage {
    fn default() -> Self {
        Self::memory()
    }
}

impl fmt::Debug for EventStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let backend = match &self.backend {
            Backend::Memory(_) => "memory",
            Backend::Custom(_) => "custom",
        };
        f.debug_struct("EventStorage").field("backend", &backend).field("retention", &self.retention).finish()
    }
}

/// Opens the log of one namespace.
#[derive(Clone)]
pub(super) enum Opener {
    Memory(MemoryLog),
    Custom(Namespace, Box<EventStoreLimits>, Open),
}

type LogAndReader = (Box<dyn EventLog>, Box<dyn EventReader>);

impl Opener {
    /// Opens it with a reader, for the first time or again, if it has what the store has acknowledged, up to `known`; a
    /// log outside of memory only where blocking is allowed.
    ///
    /// # Errors
    /// That of the log, or [displaced](crate::LogErrorKind::Displaced).
    pub(super) fn open(&self, again: bool, known: Option<EventId>) -> Result<LogAndReader, LogError> {
        let log = match self {
            Self::Memory(log) => Box::new(log.clone()) as Box<dyn EventLog>,
            Self::Custom(namespace, limits, open) => open(*namespace, limits, again)?,
        };
        let reader = log.reader()?;
        self.accept(known, reader.stats()?.position())?;
        Ok((log, reader))
    }

    /// Accepts a log that ends at `found`, unless the store has acknowledged more: its ids would be given twice.
    ///
    /// # Errors
    /// [`LogError`] as [displaced](crate::LogErrorKind::Displaced).
    fn accept(&self, known: Option<EventId>, found: Option<EventId>) -> Result<(), LogError> {
        let Some(known) = known.filter(|known| Some(*known) > found) else { return Ok(()) };
        let found = found.map_or("before the first event".to_owned(), |found| format!("with event {found}"));
        let cause = format!("the log ends {found}, and events up to {known} were acknowledged");
        Err(LogError::displaced("opening the event log", self.place(), cause))
    }

    fn place(&self) -> String {
        match self {
            Self::Memory(_) => "memory".to_owned(),
            Self::Custom(namespace, ..) => format!("the storage of namespace {namespace}"),
        }
    }

    /// Whether the log may block its thread.
    pub(super) fn may_block(&self) -> bool {
        matches!(self, Self::Custom(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_ends_before_what_was_acknowledged_is_refused_with_both_ends() {
        let limits = EventStoreLimits::new();
        let opener = EventStorage::memory().opener(Namespace::Production, &limits, |_| MemoryLog::new("production"));
        let id = EventId::new;
        for (known, found) in [(None, None), (None, id(3)), (id(3), id(3)), (id(3), id(4))] {
            assert!(opener.accept(known, found).is_ok(), "{known:?} {found:?}");
        }
        let error = opener.accept(id(20), id(5)).unwrap_err().to_string();
        let expected = "the log ends with event 5, and events up to 20 were acknowledged";
        assert_eq!(error, format!("opening the event log failed in memory: {expected}"));
        assert!(opener.accept(id(1), None).unwrap_err().to_string().contains("ends before the first event"));
    }
}
