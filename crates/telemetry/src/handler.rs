//! Handlers of telemetry events.

use std::sync::Arc;

use foundation_kernel::Namespace;
use foundation_kernel::containment::{CaughtPanic, catch_panic};
use serde_json::Value;

use super::name::MetricNameError;
use super::pattern::EventPattern;

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

pub(super) type Handle = Arc<dyn Fn(&TelemetryEvent<'_>) + Send + Sync>;

/// A handler with its id and the patterns of its events.
#[derive(Clone)]
pub(super) struct Handler {
    pub(super) id: String,
    events: Vec<EventPattern>,
    handle: Handle,
}

impl Handler {
    pub(super) fn new(id: String, events: Vec<EventPattern>, handle: Handle) -> Self {
        Self { id, events, handle }
    }

    /// Whether the two are the same handler, and not only of the same id.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.handle, &other.handle)
    }

    pub(super) fn check(&self) -> Result<(), MetricNameError> {
        self.events.iter().try_for_each(EventPattern::check)
    }

    pub(super) fn wants(&self, event: &str) -> bool {
        self.events.iter().any(|wanted| wanted.matches(event))
    }

    pub(super) fn call(&self, event: &TelemetryEvent<'_>) -> Result<(), CaughtPanic> {
        catch_panic(|| (self.handle)(event))
    }
}
