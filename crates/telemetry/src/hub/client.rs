//! The client side of the telemetry service.

use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::instruments::{Bounds, Counter, Gauge, Histogram, Snapshot};
use foundation_kernel::names::{RegistryError, Service, ServiceName, ServiceRegistry, Via};
use foundation_kernel::ractor::RpcReplyPort;
use foundation_kernel::supervision::{ChildSpec, Health};
use serde_json::Value;
#[cfg(feature = "tracing-layer")]
use tracing::{Subscriber, level_filters::LevelFilter};
#[cfg(feature = "tracing-layer")]
use tracing_subscriber::{filter::Filtered, registry::LookupSpan};

use super::Hub;
use super::early::EarlyTelemetry;
#[cfg(feature = "metrics")]
use super::recorder::TelemetryRecorder;
use super::service::{self, TELEMETRY, TelemetryLimits, TelemetryMsg, TelemetryOptions};
use super::span::Span;
#[cfg(feature = "tracing-layer")]
use super::tracing_layer::TelemetryLayer;
use crate::error::TelemetryError;
use crate::handlers::TelemetryEvent;
use crate::name::Grammar;
use crate::pattern::EventPattern;
use crate::prometheus::text::prometheus_text;
use crate::scrape::Scrape;
use crate::series::Instrument;
use crate::series::family::Family;
use crate::series::names;
use crate::unit::Unit;

/// The telemetry of one namespace: instruments by name, and handlers of events.
///
/// Counting, measuring and executing happen on the caller's thread, and so do attaching handlers and reading. They ask no
/// actor, and no measurement can fail its caller; only [`tick`](Self::tick) and [`health`](Self::health) are requests to
/// the actor of the service. Instruments and handlers belong to the namespace and survive a restart of the actor that looks after them. They work
/// after the end of the namespace, too: so a handler that holds the telemetry it is attached to keeps both in memory
/// until it is [detached](Self::detach), or [all are](Self::detach_all).
///
/// An instrument of a name, once made, stays: put no ids into names. Use the labels of a [`Family`], whose number of
/// series is bounded, to distinguish similar things. Names are at most 200 ASCII letters, digits and `_.:-/`. Of two
/// names that would become one in [Prometheus' text](prometheus_text), such as `cache.hits` and `cache-hits`, the
/// second is refused. So is one that the foundation measures itself. After [`MAX_INSTRUMENTS`](Self::MAX_INSTRUMENTS)
/// no new ones are made. Measurements under a refused name are only counted, in `telemetry.unrecorded`.
///
/// ```
/// use foundation_kernel::names::{Namespace, ProcessRegistry};
/// use foundation_telemetry::{Telemetry, TelemetryOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let root = ProcessRegistry::builder()
/// #     .service(Telemetry::service(TelemetryOptions::new()))
/// #     .start().await?;
/// # let telemetry = Telemetry::of(&root.namespace(Namespace::Production).await?);
/// let orders = telemetry.counter("orders")?;
/// orders.increment();
/// let total = telemetry.measure("pricing", async { 3 * 7 }).await;
///
/// let snapshot = telemetry.snapshot();
/// assert_eq!((total, snapshot.counter("orders")), (21, Some(1)));
/// assert_eq!(snapshot.histogram("pricing.stop.duration_ms").map(|h| h.count), Some(1));
/// root.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Telemetry {
    registry: ServiceRegistry,
    via: Via<TelemetryMsg>,
    hub: Arc<Hub>,
    limits: Arc<TelemetryLimits>,
}

/// The hub of a namespace, which may be older than the namespace.
struct NamespaceHub(Arc<Hub>);

impl Telemetry {
    /// The name of the service in each namespace.
    pub const NAME: ServiceName = ServiceName::from_static("telemetry");

    /// How many instruments a namespace may have: 10,000 names and labelled series.
    pub const MAX_INSTRUMENTS: usize = names::MAX_INSTRUMENTS;

    /// The telemetry of a namespace, whether its actor runs or not.
    pub fn of(registry: &ServiceRegistry) -> Self {
        let limits = registry.extension(TelemetryLimits::default);
        let hub = registry.extension(|| NamespaceHub(Arc::new(Hub::new(registry.namespace()))));
        Self { registry: registry.clone(), via: registry.via(&TELEMETRY), hub: Arc::clone(&hub.0), limits }
    }

    /// Gives a namespace the instruments from before its start, before its own are first used.
    pub fn begin_with(registry: &ServiceRegistry, early: &EarlyTelemetry) {
        registry.extension(|| NamespaceHub(Arc::clone(early.hub())));
    }

    /// The service for a registry's [namespaces](foundation_kernel::names::ProcessRegistryBuilder::service).
    pub fn service(options: TelemetryOptions) -> Service {
        Service::new(Self::NAME, move |registry| Self::child_spec(registry, &options))
    }

    /// How to start the telemetry service of a namespace under the name `telemetry`.
    pub fn child_spec(registry: &ServiceRegistry, options: &TelemetryOptions) -> ChildSpec {
        let checked = Self::of(registry);
        service::child_spec(&checked.hub, registry, options, &checked.limits).health_check(move |_| {
            let telemetry = checked.clone();
            async move { telemetry.health().await }
        })
    }

    /// The health of the service: whether its actor answers.
    pub async fn health(&self) -> Health {
        Health::of(self.ask(TelemetryMsg::Ping).await)
    }

    // ---- emission, on the caller's thread ----

    /// The counter of this name, made if there is none. Keep it if you count often: each call here costs a look-up.
    ///
    /// # Errors
    /// [`TelemetryError::WrongKind`], [`TelemetryError::InvalidName`], [`TelemetryError::NameTaken`],
    /// [`TelemetryError::BuiltIn`], [`TelemetryError::TooManyInstruments`].
    pub fn counter(&self, name: &str) -> Result<Arc<Counter>, TelemetryError> {
        self.hub.instrument(name)
    }

    /// The gauge of this name, made if there is none.
    ///
    /// # Errors
    /// [`TelemetryError::WrongKind`], [`TelemetryError::InvalidName`], [`TelemetryError::NameTaken`],
    /// [`TelemetryError::BuiltIn`], [`TelemetryError::TooManyInstruments`].
    pub fn gauge(&self, name: &str) -> Result<Arc<Gauge>, TelemetryError> {
        self.hub.instrument(name)
    }

    /// The histogram of this name, made if there is none.
    ///
    /// # Errors
    /// [`TelemetryError::WrongKind`], [`TelemetryError::InvalidName`], [`TelemetryError::NameTaken`],
    /// [`TelemetryError::BuiltIn`], [`TelemetryError::TooManyInstruments`].
    pub fn histogram(&self, name: &str) -> Result<Arc<Histogram>, TelemetryError> {
        self.hub.instrument(name)
    }

    /// The counters, gauges or histograms of this name, distinguished by labels; at most `limit` of them, or the limit
    /// of the first use of the name for a family. The one without labels is that of [`counter`](Self::counter) and its
    /// like.
    ///
    /// # Errors
    /// [`TelemetryError::WrongKind`], [`TelemetryError::InvalidName`], [`TelemetryError::NameTaken`],
    /// [`TelemetryError::BuiltIn`], [`TelemetryError::TooManyInstruments`].
    pub fn family<K: Instrument>(&self, name: &str, limit: usize) -> Result<Family<K>, TelemetryError> {
        self.hub.family(name, limit)
    }

    /// Sets the bounds at which the histograms of a name count, in their own unit: the `le` buckets of
    /// [`prometheus_text`], which has bounds for all others. At most 64; to be chosen before the first use of the name,
    /// since all series and all scrapes of a name have the same.
    ///
    /// ```
    /// use foundation_kernel::names::{Namespace, ProcessRegistry};
    /// use foundation_telemetry::{Telemetry, TelemetryError, TelemetryOptions};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let root = ProcessRegistry::builder()
    /// #     .service(Telemetry::service(TelemetryOptions::new()))
    /// #     .start().await?;
    /// # let telemetry = Telemetry::of(&root.namespace(Namespace::Production).await?);
    /// telemetry.bucket_bounds("http.request_seconds", [0.1, 0.3, 1.0])?;
    /// telemetry.histogram("http.request_seconds")?.record(0.2);
    /// let text = telemetry.prometheus();
    /// assert!(text.contains("http_request_seconds_bucket{namespace=\"production\",le=\"3e-1\"} 1\n"));
    ///
    /// let refused = telemetry.bucket_bounds("http.request_seconds", [2.0]);
    /// assert!(matches!(refused, Err(TelemetryError::BoundsFixed { .. })));
    /// root.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TelemetryError::InvalidBounds`], [`TelemetryError::BoundsFixed`], and those of [`histogram`](Self::histogram).
    pub fn bucket_bounds(&self, name: &str, bounds: impl IntoIterator<Item = f64>) -> Result<(), TelemetryError> {
        Grammar::Instrument.check(name)?;
        let bounds = Bounds::new(bounds);
        let bounds = bounds.map_err(|error| TelemetryError::InvalidBounds { name: name.to_owned(), error })?;
        let accepted = self.hub.names.table::<Histogram>(name)?.set_bounds(bounds);
        if accepted { Ok(()) } else { Err(TelemetryError::BoundsFixed { name: name.to_owned() }) }
    }

    /// Sets the description of a name in the export; at most 1,000 characters, and a later one replaces an earlier one.
    ///
    /// # Errors
    /// [`TelemetryError::InvalidName`], [`TelemetryError::TooManyInstruments`].
    pub fn describe(&self, name: &str, help: &str) -> Result<(), TelemetryError> {
        self.hub.names.describe(name, help)
    }

    /// Sets the [unit](crate::MetricFamily::unit) of a name that does not end in one; a later one replaces an earlier one. It
    /// converts nothing: it says what the values are. OTLP has it in any case, [OpenMetrics](crate::open_metrics_text) if the
    /// name ends in it.
    ///
    /// ```
    /// use foundation_kernel::names::{Namespace, ProcessRegistry};
    /// use foundation_telemetry::{Telemetry, TelemetryOptions, Unit, open_metrics_text};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let root = ProcessRegistry::builder()
    /// #     .service(Telemetry::service(TelemetryOptions::new()))
    /// #     .start().await?;
    /// # let telemetry = Telemetry::of(&root.namespace(Namespace::Production).await?);
    /// telemetry.unit("heater.energy_joules", Unit::new("joules")?)?;
    /// telemetry.gauge("heater.energy_joules")?.set(7.0);
    /// assert!(open_metrics_text(&[telemetry.scrape()]).contains("# UNIT heater_energy_joules joules\n"));
    /// # root.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TelemetryError::UnitInName`] for a name that ends in another of the units that are [recognized](Unit),
    /// [`TelemetryError::InvalidName`], [`TelemetryError::TooManyInstruments`].
    pub fn unit(&self, name: &str, unit: Unit) -> Result<(), TelemetryError> {
        self.hub.names.unit(name, unit)
    }

    /// Adds one to the counter of this name; if the name belongs to another kind of instrument, counts in
    /// `telemetry.unrecorded` instead.
    pub fn count(&self, name: &str) {
        self.hub.count(name);
    }

    /// Emits an event: counts it under its name, records each measurement in the histogram `name.measurement`, and
    /// calls the handlers that match it. A handler that panics is detached.
    ///
    /// An event whose name is not valid is neither recorded nor delivered, as no handler can be
    /// [attached](Self::attach) to it: it is counted in `telemetry.unrecorded`, and logged the first time.
    pub fn execute(&self, name: &str, measurements: &[(&str, f64)], metadata: &Value) {
        self.hub.execute(name, measurements, metadata);
    }

    /// Begins a piece of work: executes `name.start`; see [`Span`] for how it ends.
    pub fn span(&self, name: &str) -> Span {
        self.span_with(name, Value::Null)
    }

    /// The same with metadata, which goes with each event of the span.
    pub fn span_with(&self, name: &str, metadata: Value) -> Span {
        Span::start(&self.hub, name, metadata)
    }

    /// Runs a future and measures it: executes `name.start`, then `name.stop` or, if it panics or is dropped half way,
    /// `name.exception`; the latter two with the measurement `duration_ms`, in milliseconds of tokio's clock. See
    /// [`Span`].
    pub async fn measure<T>(&self, name: &str, work: impl Future<Output = T>) -> T {
        let span = self.span(name);
        let result = work.await;
        span.stop();
        result
    }

    // ---- bridges ----

    /// A recorder for the `metrics` facade, whose macros then count here. To have one before the foundation has been
    /// started see [`EarlyTelemetry`].
    #[cfg(feature = "metrics")]
    pub fn recorder(&self) -> TelemetryRecorder {
        TelemetryRecorder::new(Arc::clone(&self.hub))
    }

    /// A layer for `tracing-subscriber` that counts the events here, by level and target: those of the level `INFO` and
    /// above. To have one before the foundation has been started see [`EarlyTelemetry`].
    ///
    /// # Errors
    /// [`TelemetryError::WrongKind`] if `tracing.events` is not a counter.
    #[cfg(feature = "tracing-layer")]
    pub fn tracing_layer<S>(&self) -> Result<Filtered<TelemetryLayer, LevelFilter, S>, TelemetryError>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        self.tracing_layer_at(LevelFilter::INFO)
    }

    /// The same for the events of this level and above.
    ///
    /// # Errors
    /// As [`tracing_layer`](Self::tracing_layer).
    #[cfg(feature = "tracing-layer")]
    pub fn tracing_layer_at<S>(
        &self,
        level: impl Into<LevelFilter>,
    ) -> Result<Filtered<TelemetryLayer, LevelFilter, S>, TelemetryError>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        TelemetryLayer::at(&self.hub, level.into())
    }

    // ---- handlers ----

    /// Calls a handler for each event whose name is one of these, or matches one of these [`EventPattern`]s, from now
    /// on. It runs on the thread that emits: be brief. An emission costs a comparison of names for each handler.
    ///
    /// A handler may emit, and receives its own events if they match. Emissions nest at most eight deep on a thread,
    /// over all namespaces, and one that no handler emitted leads to at most 10,000 others: events beyond are counted
    /// as ever, but delivered to no handler, which is counted in `telemetry.events_nested_too_deep` and logged the
    /// first time.
    ///
    /// # Errors
    /// [`TelemetryError::AlreadyAttached`] if a handler has the id, [`TelemetryError::InvalidName`] if a pattern is not
    /// a name, or its beginning.
    pub fn attach(
        &self,
        id: impl Into<String>,
        events: impl IntoIterator<Item = impl Into<EventPattern>>,
        handle: impl Fn(&TelemetryEvent<'_>) + Send + Sync + 'static,
    ) -> Result<(), TelemetryError> {
        self.hub.handlers.attach(id.into(), events.into_iter().map(Into::into).collect(), handle)
    }

    /// Detaches a handler; false if there was none of this id. Another thread that is about to call it still does.
    pub fn detach(&self, id: &str) -> bool {
        self.hub.handlers.detach(id)
    }

    /// Detaches all handlers.
    pub fn detach_all(&self) {
        self.hub.handlers.clear();
    }

    /// The ids of the handlers, in the order in which they were attached.
    pub fn handlers(&self) -> Vec<String> {
        self.hub.handlers.ids()
    }

    // ---- reading ----

    /// All readings of this namespace: its instruments, the counts of its registry and supervisors, and the automatic
    /// measurements of each service: `service.messages{service="clerk"}`, `service.failures{…}`,
    /// `service.handling_ns{…}` and `service.idle_seconds{…}`; see
    /// [`ServiceMeasures`](foundation_kernel::names::ServiceMeasures).
    /// Those with labels are called `name{key="value",…}`.
    pub fn snapshot(&self) -> Snapshot {
        self.scrape().to_snapshot()
    }

    /// The same with labels apart from names, with descriptions, and with the rates between the last two ticks.
    ///
    /// Reads on the caller's thread, whether the service runs or not. Cost: about a microsecond a series.
    pub fn scrape(&self) -> Scrape {
        self.hub.scrape(&self.registry)
    }

    /// All readings in Prometheus' text format; see [`prometheus_text`].
    pub fn prometheus(&self) -> String {
        prometheus_text(&[self.scrape()])
    }

    // ---- requests to the actor ----

    /// A tick now, besides those of the clock: rates, exports, retirement of idle series. Returns when it is done, exports
    /// included, for which it waits at most [`TelemetryLimits::export`].
    ///
    /// # Errors
    /// [`TelemetryError::Unavailable`].
    pub async fn tick(&self) -> Result<(), TelemetryError> {
        self.ask(TelemetryMsg::Tick).await
    }

    /// Waits until the service runs: after its restart, say; without a limit if that is `None`.
    ///
    /// # Errors
    /// [`RegistryError::WaitTimedOut`]; [`RegistryError::NotRunning`] when the namespace ends.
    pub async fn wait_until_up(&self, limit: impl Into<Option<Duration>>) -> Result<(), RegistryError> {
        self.registry.wait_for_service(&TELEMETRY, limit).await.map(drop)
    }

    async fn ask<T: Send + 'static>(
        &self,
        message: impl FnOnce(RpcReplyPort<T>) -> TelemetryMsg,
    ) -> Result<T, TelemetryError> {
        let answer = self.via.call(message, self.limits.answer).await;
        answer.map_err(|error| TelemetryError::Unavailable { reason: error.to_string() })
    }
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Telemetry({})", self.via.namespace())
    }
}
