//! The handlers of one namespace; they belong to it and outlive the actor.
//!
//! 1. Handlers are a list that is replaced as a whole, so that emission never waits for a change of it.
//! 2. A handler that panics is taken out at once, and not a namesake of it; whoever emitted does not notice.
//! 3. No code of others runs while a lock is held: neither a handler nor the destructor of one.
//! 4. Handlers that emit are told of what they emit, but not without end: see `nesting`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foundation_core::containment::drop_contained;
use parking_lot::{Mutex, RwLock};

use super::error::TelemetryError;
use super::handler::{Handler, TelemetryEvent};
use super::nesting::Emission;

pub(super) struct Handlers {
    list: RwLock<Arc<[Handler]>>,
    /// Held by whoever replaces the list, so that no replacement is lost.
    replacing: Mutex<()>,
    /// Whether it has been reported that handlers emit without end.
    reported: AtomicBool,
}

/// No handler was told, as too many emissions are under way within one another.
pub(super) struct TooDeep {
    /// Whether this is the first time.
    pub(super) first: bool,
}

impl Default for Handlers {
    fn default() -> Self {
        Self { list: RwLock::new(Arc::from([])), replacing: Mutex::default(), reported: AtomicBool::new(false) }
    }
}

impl Handlers {
    pub(super) fn attach(&self, handler: Handler) -> Result<(), TelemetryError> {
        let _replacing = self.replacing.lock();
        let handlers = Arc::clone(&self.list.read());
        if handlers.iter().any(|known| known.id == handler.id) {
            return Err(TelemetryError::AlreadyAttached { id: handler.id.chars().take(64).collect() });
        }
        *self.list.write() = handlers.iter().cloned().chain([handler]).collect();
        Ok(())
    }

    pub(super) fn detach(&self, id: &str) -> bool {
        self.detach_those(|handler| handler.id == id)
    }

    /// Lets go of all of them.
    pub(super) fn clear(&self) {
        self.detach_those(|_| true);
    }

    fn detach_those(&self, unwanted: impl Fn(&Handler) -> bool) -> bool {
        let replacing = self.replacing.lock();
        let before = Arc::clone(&self.list.read());
        let left: Arc<[Handler]> = before.iter().filter(|handler| !unwanted(handler)).cloned().collect();
        let detached = left.len() < before.len();
        *self.list.write() = left;
        // The handler may be dropped with the old list, and its destructor may emit, or panic.
        drop(replacing);
        drop_contained("a handler of telemetry events", before);
        detached
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.list.read().iter().map(|handler| handler.id.clone()).collect()
    }

    /// Tells whoever wants the event; of those that panic and are taken out for it, the ids.
    pub(super) fn tell(&self, event: &TelemetryEvent<'_>) -> Result<Vec<String>, TooDeep> {
        // The list is taken out of the lock first: a handler may attach and detach.
        let handlers = Arc::clone(&self.list.read());
        if !handlers.iter().any(|handler| handler.wants(event.name)) {
            drop_contained("handlers of telemetry events", handlers);
            return Ok(Vec::new());
        }
        let Some(_emission) = Emission::begin() else {
            drop_contained("handlers of telemetry events", handlers);
            return Err(TooDeep { first: !self.reported.swap(true, Ordering::Relaxed) });
        };
        let faulty: Vec<_> =
            handlers.iter().filter(|it| it.wants(event.name) && it.tell(event).is_err()).cloned().collect();
        let taken_out = faulty.iter().filter(|faulty| self.detach_those(|it| it.is(faulty)));
        let ids = taken_out.map(|handler| handler.id.clone()).collect();
        drop_contained("handlers of telemetry events", (handlers, faulty));
        Ok(ids)
    }
}
