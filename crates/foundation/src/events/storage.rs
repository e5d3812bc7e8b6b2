use std::fmt;
use std::sync::Arc;

use foundation_core::Namespace;

use super::failure::LogFailure;
use super::limits::EventLimits;
use super::log::EventLog;
use super::memory::MemoryLog;
use super::retention::Retention;
use super::store_limits::EventStoreLimits;

/// Where the events of each namespace are kept, and for how long: how a store opens its log, at its start and again after
/// each failure.
///
/// | | kept until |
/// |---|---|
/// | [`memory`](Self::memory), the default | the namespace ends |
/// | `sqlite` (feature `sqlite`) | the file is deleted |
/// | [`with`](Self::with) | as the log says |
///
/// A log in memory works on the runtime; any other has a thread of its own to write, and reads where blocking is
/// allowed. Under tokio's paused clock use memory: that clock does not wait for other threads, and limits run out at once.
///
/// ```
/// use std::time::Duration;
/// use foundation::{EventStorage, Retention};
///
/// let a_day = Retention::new().max_age(Duration::from_secs(24 * 3600)).max_count(1_000_000);
/// let storage = EventStorage::memory().retention(a_day);
/// ```
#[derive(Clone)]
pub struct EventStorage {
    place: Place,
    retention: Retention,
}

type Open = Arc<dyn Fn(Namespace, &EventStoreLimits) -> Result<Box<dyn EventLog>, LogFailure> + Send + Sync>;

#[derive(Clone)]
enum Place {
    Memory(EventLimits),
    Elsewhere(Open),
}

impl EventStorage {
    /// In memory, for as long as the namespace is there: a restarted store has all its events, a restarted process none.
    pub fn memory() -> Self {
        Self::memory_within(EventLimits::default())
    }

    /// In memory, with other limits.
    pub fn memory_within(limits: EventLimits) -> Self {
        Self { place: Place::Memory(limits), retention: Retention::new() }
    }

    /// In a log of one's own, which this opens, where blocking is allowed. It is called again after each restart of the
    /// store, when the log before is dropped, and has to find there what was recorded.
    pub fn with<L: EventLog>(open: impl Fn(Namespace) -> Result<L, LogFailure> + Send + Sync + 'static) -> Self {
        Self::with_limits(move |namespace, _| open(namespace))
    }

    /// The same for a log that keeps to the limits of its store.
    pub(super) fn with_limits<L: EventLog>(
        open: impl Fn(Namespace, &EventStoreLimits) -> Result<L, LogFailure> + Send + Sync + 'static,
    ) -> Self {
        let open = move |namespace, limits: &_| Ok(Box::new(open(namespace, limits)?) as Box<dyn EventLog>);
        Self { place: Place::Elsewhere(Arc::new(open)), retention: Retention::new() }
    }

    /// How long events are kept; without it, until they are pruned by hand.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// How one namespace's store opens its log.
    pub(super) fn opener(
        &self,
        namespace: Namespace,
        limits: &EventStoreLimits,
        kept: impl FnOnce(EventLimits) -> MemoryLog,
    ) -> Opener {
        match &self.place {
            Place::Memory(limits) => Opener::Memory(kept(limits.clone())),
            Place::Elsewhere(open) => Opener::Elsewhere(namespace, limits.clone(), Arc::clone(open)),
        }
    }

    pub(super) fn kept_for(&self) -> &Retention {
        &self.retention
    }
}

impl Default for EventStorage {
    fn default() -> Self {
        Self::memory()
    }
}

impl fmt::Debug for EventStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match &self.place {
            Place::Memory(_) => "memory",
            Place::Elsewhere(_) => "elsewhere",
        };
        f.debug_struct("EventStorage").field("place", &place).field("retention", &self.retention).finish()
    }
}

/// Opens the log of one namespace.
#[derive(Clone)]
pub(super) enum Opener {
    Memory(MemoryLog),
    Elsewhere(Namespace, EventStoreLimits, Open),
}

impl Opener {
    /// Opens it; what is not in memory only where blocking is allowed.
    pub(super) fn open(&self) -> Result<Box<dyn EventLog>, LogFailure> {
        match self {
            Self::Memory(log) => Ok(Box::new(log.clone())),
            Self::Elsewhere(namespace, limits, open) => open(*namespace, limits),
        }
    }

    /// Whether the log may hold up the thread that it works on.
    pub(super) fn may_block(&self) -> bool {
        matches!(self, Self::Elsewhere(..))
    }
}
