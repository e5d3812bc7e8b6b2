//! The handlers of one namespace; they belong to it and outlive the actor.
//!
//! 1. Handlers are a list that is replaced as a whole, so that emission never waits for a change of it.
//! 2. A handler that panics is removed at once, but not another one of the same id; the emitter does not notice.
//! 3. No foreign code runs while a lock is held: neither a handler nor its destructor.
//! 4. Handlers that emit receive their own events, but not without end: see `nesting`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foundation_kernel::containment::drop_contained;
use parking_lot::{Mutex, RwLock};

use super::error::TelemetryError;
use super::handler::{Handler, TelemetryEvent};
use super::nesting::Emission;

pub(super) struct Handlers {
    list: RwLock<Arc<[Handler]>>,
    /// Held while the list is replaced, so that no replacement is lost.
    replacing: Mutex<()>,
    /// Whether it has been reported that handlers emit without end.
    reported: AtomicBool,
}

/// No handler was called, as too many emissions are nested.
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
        if let Err(error) = handler.check() {
            drop_contained("a telemetry handler", handler);
            return Err(error.into());
        }
        let replacing = self.replacing.lock();
        let handlers = Arc::clone(&self.list.read());
        if handlers.iter().any(|known| known.id == handler.id) {
            drop(replacing);
            let id = handler.id.chars().take(64).collect();
            drop_contained("a telemetry handler", handler);
            return Err(TelemetryError::AlreadyAttached { id });
        }
        *self.list.write() = handlers.iter().cloned().chain([handler]).collect();
        Ok(())
    }

    pub(super) fn detach(&self, id: &str) -> bool {
        self.detach_those(|handler| handler.id == id)
    }

    /// Drops all handlers.
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

    /// Calls the handlers that match the event; returns the ids of those that panicked and were removed.
    pub(super) fn dispatch(&self, event: &TelemetryEvent<'_>) -> Result<Vec<String>, TooDeep> {
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
            handlers.iter().filter(|it| it.wants(event.name) && it.call(event).is_err()).cloned().collect();
        let removed = faulty.iter().filter(|faulty| self.detach_those(|it| it.is(faulty)));
        let ids = removed.map(|handler| handler.id.clone()).collect();
        drop_contained("handlers of telemetry events", (handlers, faulty));
        Ok(ids)
    }
}
