//! The instruments and handlers of one namespace; they belong to the namespace and outlive the actor.
//!
//! 1. A name belongs to the kind of instrument that it was first used for, for good.
//! 2. Handlers are a list that is replaced as a whole, so that emission never waits for a change of it.
//! 3. A handler that panics is taken out at once, and not a namesake of it; whoever emitted does not notice.
//! 4. No code of others runs while a lock is held: neither a handler nor the destructor of one.
//! 5. There are never more than `MAX_INSTRUMENTS` instruments.

use std::collections::HashMap;
use std::sync::Arc;

use foundation_core::{Counter, Gauge, Histogram, Namespace, Reading, Snapshot};
use parking_lot::{Mutex, RwLock};
use serde_json::Value;

use super::error::TelemetryError;
use super::handler::{Handler, TelemetryEvent};

/// How many instruments a namespace may have.
pub(super) const MAX_INSTRUMENTS: usize = 10_000;
/// Counts the handlers that were taken out because they panicked.
const DETACHED: &str = "telemetry.handlers_detached";
/// Counts what could not be recorded: its name belongs to another kind of instrument, or there are too many.
const UNRECORDED: &str = "telemetry.unrecorded";

#[derive(Clone)]
pub(super) enum Instrument {
    Counter(Arc<Counter>),
    Gauge(Arc<Gauge>),
    Histogram(Arc<Histogram>),
}

impl Instrument {
    fn kind(&self) -> &'static str {
        match self {
            Self::Counter(_) => "counter",
            Self::Gauge(_) => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }

    fn read(&self) -> Reading {
        match self {
            Self::Counter(counter) => Reading::from(&**counter),
            Self::Gauge(gauge) => Reading::from(&**gauge),
            Self::Histogram(histogram) => Reading::from(&**histogram),
        }
    }
}

/// A kind of instrument, as a type.
pub(super) trait Kind: Default {
    const NAME: &'static str;
    fn wrap(this: Arc<Self>) -> Instrument;
    fn unwrap(instrument: &Instrument) -> Option<&Arc<Self>>;
}

macro_rules! kind {
    ($kind:ident, $name:literal) => {
        impl Kind for $kind {
            const NAME: &'static str = $name;
            fn wrap(this: Arc<Self>) -> Instrument {
                Instrument::$kind(this)
            }
            fn unwrap(instrument: &Instrument) -> Option<&Arc<Self>> {
                match instrument {
                    Instrument::$kind(this) => Some(this),
                    _ => None,
                }
            }
        }
    };
}
kind!(Counter, "counter");
kind!(Gauge, "gauge");
kind!(Histogram, "histogram");

pub(crate) struct Hub {
    namespace: Namespace,
    instruments: RwLock<HashMap<Box<str>, Instrument>>,
    handlers: RwLock<Arc<[Handler]>>,
    /// Held by whoever replaces the list, so that no replacement is lost.
    replacing: Mutex<()>,
    detached: Counter,
    unrecorded: Counter,
}

impl Hub {
    pub(super) fn new(namespace: Namespace) -> Self {
        Self {
            namespace,
            instruments: RwLock::default(),
            handlers: RwLock::new(Arc::from([])),
            replacing: Mutex::default(),
            detached: Counter::new(),
            unrecorded: Counter::new(),
        }
    }

    // ---- instruments ----

    pub(super) fn instrument<K: Kind>(&self, name: &str) -> Result<Arc<K>, TelemetryError> {
        if let Some(known) = self.instruments.read().get(name) {
            return of_kind(name, known);
        }
        let mut instruments = self.instruments.write();
        let limit = MAX_INSTRUMENTS;
        if instruments.len() >= limit && !instruments.contains_key(name) {
            return Err(TelemetryError::TooManyInstruments { name: name.to_owned(), limit });
        }
        of_kind(name, instruments.entry(name.into()).or_insert_with(|| K::wrap(Arc::default())))
    }

    pub(super) fn count(&self, name: &str) {
        self.recording::<Counter>(name, Counter::increment);
    }

    pub(super) fn record(&self, name: &str, value: f64) {
        self.recording::<Histogram>(name, |histogram| histogram.record(value));
    }

    /// Telemetry must not fail its caller: what cannot be recorded is counted.
    fn recording<K: Kind>(&self, name: &str, record: impl FnOnce(&K)) {
        match self.instrument::<K>(name) {
            Ok(instrument) => record(&instrument),
            Err(_) => self.unrecorded.increment(),
        }
    }

    pub(super) fn read(&self) -> Snapshot {
        let instruments = self.instruments.read();
        let named = instruments.iter().map(|(name, instrument)| (String::from(&**name), instrument.read()));
        let own = [(DETACHED, &self.detached), (UNRECORDED, &self.unrecorded)];
        named.chain(own.map(|(name, counter)| (name.to_owned(), Reading::from(counter)))).collect()
    }

    // ---- handlers ----

    pub(super) fn attach(&self, handler: Handler) -> Result<(), TelemetryError> {
        let _replacing = self.replacing.lock();
        let handlers = Arc::clone(&self.handlers.read());
        if handlers.iter().any(|known| known.id == handler.id) {
            return Err(TelemetryError::AlreadyAttached { id: handler.id });
        }
        *self.handlers.write() = handlers.iter().cloned().chain([handler]).collect();
        Ok(())
    }

    pub(super) fn detach(&self, id: &str) -> bool {
        self.detach_those(|handler| handler.id == id)
    }

    fn detach_those(&self, unwanted: impl Fn(&Handler) -> bool) -> bool {
        let replacing = self.replacing.lock();
        let before = Arc::clone(&self.handlers.read());
        let left: Arc<[Handler]> = before.iter().filter(|handler| !unwanted(handler)).cloned().collect();
        let detached = left.len() < before.len();
        *self.handlers.write() = left;
        // The handler may be dropped with the old list, and its destructor may emit.
        drop(replacing);
        drop(before);
        detached
    }

    pub(super) fn handler_ids(&self) -> Vec<String> {
        self.handlers.read().iter().map(|handler| handler.id.clone()).collect()
    }

    pub(super) fn execute(&self, name: &str, measurements: &[(&str, f64)], metadata: &Value) {
        self.count(name);
        for (measurement, value) in measurements {
            self.record(&format!("{name}.{measurement}"), *value);
        }
        let event = TelemetryEvent { name, namespace: self.namespace, measurements, metadata };
        // The list is taken out of the lock first: a handler may attach and detach.
        let handlers = Arc::clone(&self.handlers.read());
        for handler in handlers.iter().filter(|handler| handler.wants(name)) {
            if handler.tell(&event).is_err() {
                self.take_out(handler, name);
            }
        }
    }

    fn take_out(&self, panicked: &Handler, event: &str) {
        if self.detach_those(|handler| handler.is(panicked)) {
            self.detached.increment();
            let (namespace, handler) = (self.namespace, &*panicked.id);
            tracing::warn!(%namespace, handler, event, "a telemetry handler panicked and is detached");
        }
    }
}

fn of_kind<K: Kind>(name: &str, instrument: &Instrument) -> Result<Arc<K>, TelemetryError> {
    K::unwrap(instrument).cloned().ok_or_else(|| TelemetryError::WrongKind {
        name: name.to_owned(),
        wanted: K::NAME,
        found: instrument.kind(),
    })
}
