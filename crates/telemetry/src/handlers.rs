//! The handlers of the events of one namespace.
//!
//! # Invariants
//!
//! 1. Handlers are a list that is replaced as a whole, so that emission never waits for a change of it.
//! 2. A handler that panics is removed at once, but not another one of the same id; the emitter does not notice.
//! 3. No foreign code runs while a lock is held: neither a handler nor its destructor.
//! 4. Handlers that emit receive their own events, but not without end: the nesting of emissions is bounded.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foundation_kernel::containment::{CaughtPanic, catch_panic, drop_contained};
use foundation_kernel::names::Namespace;
use parking_lot::{Mutex, RwLock};
use serde_json::Value;

use crate::error::TelemetryError;
use crate::name::MetricNameError;
use crate::pattern::EventPattern;

/// A telemetry event: its name, its measurements and its metadata.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct TelemetryEvent<'a> {
    /// The name of the event.
    pub name: &'a str,
    /// The namespace that it was emitted in.
    pub namespace: Namespace,
    /// The numbers, each with its name.
    pub measurements: &'a [(&'a str, f64)],
    /// Any other data.
    pub metadata: &'a Value,
}

/// A handler with its id and the patterns of its events.
#[derive(Clone)]
struct Handler {
    id: String,
    events: Vec<EventPattern>,
    handle: Arc<dyn Fn(&TelemetryEvent<'_>) + Send + Sync>,
}

impl Handler {
    /// Whether the two are the same handler, and not only of the same id.
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.handle, &other.handle)
    }

    fn check(&self) -> Result<(), MetricNameError> {
        self.events.iter().try_for_each(EventPattern::check)
    }

    fn wants(&self, event: &str) -> bool {
        self.events.iter().any(|wanted| wanted.matches(event))
    }

    fn call(&self, event: &TelemetryEvent<'_>) -> Result<(), CaughtPanic> {
        catch_panic(|| (self.handle)(event))
    }
}

pub(crate) struct Handlers {
    list: RwLock<Arc<[Handler]>>,
    /// Held while the list is replaced, so that no replacement is lost.
    replacing: Mutex<()>,
    /// Whether it has been reported that handlers emit without end.
    reported: AtomicBool,
}

/// The outcome of an emission.
pub(crate) enum Dispatched {
    /// The handlers that match the event were called, and those of these ids panicked and were removed.
    Called { removed: Vec<String> },
    /// No handler was called, as too many emissions are nested.
    TooDeep {
        /// Whether this is the first time.
        first: bool,
    },
}

impl Default for Handlers {
    fn default() -> Self {
        Self { list: RwLock::new(Arc::from([])), replacing: Mutex::default(), reported: AtomicBool::new(false) }
    }
}

impl Handlers {
    /// Adds a handler at the end of the list.
    pub(crate) fn attach(
        &self,
        id: String,
        events: Vec<EventPattern>,
        handle: impl Fn(&TelemetryEvent<'_>) + Send + Sync + 'static,
    ) -> Result<(), TelemetryError> {
        let handler = Handler { id, events, handle: Arc::new(handle) };
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

    pub(crate) fn detach(&self, id: &str) -> bool {
        self.detach_those(|handler| handler.id == id)
    }

    /// Drops all handlers.
    pub(crate) fn clear(&self) {
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

    pub(crate) fn ids(&self) -> Vec<String> {
        self.list.read().iter().map(|handler| handler.id.clone()).collect()
    }

    /// Calls the handlers that match the event, and removes those that panic.
    pub(crate) fn dispatch(&self, event: &TelemetryEvent<'_>) -> Dispatched {
        // The list is taken out of the lock first: a handler may attach and detach.
        let handlers = Arc::clone(&self.list.read());
        if !handlers.iter().any(|handler| handler.wants(event.name)) {
            drop_contained("handlers of telemetry events", handlers);
            return Dispatched::Called { removed: Vec::new() };
        }
        let Some(_emission) = Emission::begin() else {
            drop_contained("handlers of telemetry events", handlers);
            return Dispatched::TooDeep { first: !self.reported.swap(true, Ordering::Relaxed) };
        };
        let panicked: Vec<_> =
            handlers.iter().filter(|it| it.wants(event.name) && it.call(event).is_err()).cloned().collect();
        let removed = panicked.iter().filter(|handler| self.detach_those(|it| it.is(handler)));
        let removed = removed.map(|handler| handler.id.clone()).collect();
        drop_contained("handlers of telemetry events", (handlers, panicked));
        Dispatched::Called { removed }
    }
}

/// How many emissions with handlers may be under way within one another on a thread.
const MAX_DEPTH: u32 = 8;
/// How many events handlers may emit, in all, within one that no handler emitted: handlers that emit multiply.
const MAX_CAUSED: u32 = 10_000;

thread_local! {
    // A stack belongs to its thread, and a handler is a closure with a handle of its own on any telemetry. So no
    // argument can carry a depth, and two namespaces whose handlers emit into each other share one stack.
    static NESTING: Cell<Nesting> = const { Cell::new(Nesting { depth: 0, caused: 0 }) };
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Nesting {
    /// How many emissions are under way.
    depth: u32,
    /// How many of the events since the outermost one began were emitted by handlers.
    caused: u32,
}

impl Nesting {
    /// One level deeper; `None` if that is one too many.
    fn entered(self) -> Option<Self> {
        let caused = if self.depth == 0 { 0 } else { self.caused + 1 };
        (self.depth < MAX_DEPTH && caused <= MAX_CAUSED).then_some(Self { depth: self.depth + 1, caused })
    }

    fn left(self) -> Self {
        Self { depth: self.depth.saturating_sub(1), ..self }
    }
}

/// An emission under way on this thread, until it is dropped.
struct Emission(());

impl Emission {
    /// `None` if too many are under way already.
    fn begin() -> Option<Self> {
        NESTING.with(|nesting| {
            let entered = nesting.get().entered()?;
            nesting.set(entered);
            Some(Self(()))
        })
    }
}

impl Drop for Emission {
    fn drop(&mut self) {
        NESTING.with(|nesting| nesting.set(nesting.get().left()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_of_what_no_event_is_called_is_refused() {
        let handlers = Handlers::default();
        let attach = |pattern: EventPattern| handlers.attach("audit".into(), vec!["order".into(), pattern], |_| ());
        let refused = attach(EventPattern::prefix("order.*")).unwrap_err();
        assert!(matches!(&refused, TelemetryError::InvalidName(error) if error.name == "order.*"), "{refused}");
        assert!(handlers.ids().is_empty());
        attach(EventPattern::prefix("")).unwrap();
        assert_eq!(handlers.ids(), ["audit"]);
    }

    /// Emits within an emission as often as it may, that many at each level.
    fn emit(each: u32) -> u32 {
        let Some(_emission) = Emission::begin() else { return 0 };
        1 + (0..each).map(|_| emit(each)).sum::<u32>()
    }

    #[test]
    fn emissions_within_one_another_are_bounded_in_depth_and_in_all() {
        assert_eq!(emit(1), MAX_DEPTH);
        assert_eq!(emit(2), (1 << MAX_DEPTH) - 1);
        assert_eq!(emit(100), 1 + MAX_CAUSED);
        // And then all is as before.
        assert_eq!(NESTING.get().depth, 0);
        assert_eq!(emit(1), MAX_DEPTH);
    }

    #[test]
    fn a_panic_ends_the_emission_that_it_leaves() {
        let panicked = std::panic::catch_unwind(|| {
            let _emission = Emission::begin();
            panic!("the handler panics");
        });
        assert!(panicked.is_err());
        assert_eq!(NESTING.get().depth, 0);
    }
}
