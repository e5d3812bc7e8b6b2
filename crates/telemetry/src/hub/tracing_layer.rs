//! Events of `tracing`, counted.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use foundation_kernel::instruments::Counter;
use parking_lot::RwLock;
use tracing::callsite::Identifier;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Filtered;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::Hub;
use crate::built_in::TRACING_EVENTS;
use crate::error::TelemetryError;
use crate::labels::Labels;
use crate::series::family::Family;

/// Counts the events of `tracing`: the counters `tracing.events`, labelled `level` and `target`. Those whose target is
/// not a valid label value have no labels.
///
/// It belongs to one namespace, and counts what its own level lets through, `INFO` unless another was asked for. The
/// level concerns nothing else: it neither switches on events that no other layer wants nor hides any from them. An
/// event costs a look-up by its place in the code, with a read lock, and an addition.
///
/// ```
/// use foundation_kernel::names::{Namespace, ProcessRegistry};
/// use foundation_telemetry::{Telemetry, TelemetryOptions};
/// use tracing_subscriber::layer::SubscriberExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let root = ProcessRegistry::builder()
/// #     .service(Telemetry::service(TelemetryOptions::new()))
/// #     .start().await?;
/// # let telemetry = Telemetry::of(&root.namespace(Namespace::Production).await?);
/// let subscriber = tracing_subscriber::registry().with(telemetry.tracing_layer()?);
/// tracing::subscriber::with_default(subscriber, || tracing::warn!(target: "shop", "no more apples"));
///
/// let scrape = telemetry.scrape();
/// assert!(scrape.series("tracing.events", &[("level", "warn"), ("target", "shop")]).is_some());
/// root.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub struct TelemetryLayer {
    events: Family<Counter>,
    /// The counter of each place in the code: their number is limited, and they are never removed.
    known: RwLock<HashMap<Identifier, Arc<Counter>>>,
}

impl TelemetryLayer {
    const MAX_SERIES: usize = 1_000;

    /// One that counts events of this level and above.
    pub(super) fn at<S>(hub: &Hub, level: LevelFilter) -> Result<Filtered<Self, LevelFilter, S>, TelemetryError>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let events = hub.family(TRACING_EVENTS, Self::MAX_SERIES)?;
        // A filter of the layer's own: a layer without one asks for all there is, down to TRACE, of the whole process.
        Ok(Self { events, known: RwLock::default() }.with_filter(level))
    }

    fn counter(&self, place: &Metadata<'_>) -> Arc<Counter> {
        if let Some(known) = self.known.read().get(&place.callsite()) {
            return Arc::clone(known);
        }
        let level = place.level().as_str().to_ascii_lowercase();
        // No lock is held here: making a series may warn, and so come back.
        let labelled = self.events.with([("level", &*level), ("target", place.target())]);
        let counter = labelled.unwrap_or_else(|_| self.events.of(&Labels::default()));
        self.known.write().insert(place.callsite(), Arc::clone(&counter));
        counter
    }
}

impl<S: Subscriber> Layer<S> for TelemetryLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.counter(event.metadata()).increment();
    }
}

impl fmt::Debug for TelemetryLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TelemetryLayer")
    }
}
