//! The service of a namespace: what it does at each tick, how long it may take, and the actor that does it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::names::{ServiceKey, ServiceRegistry};
use foundation_kernel::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation_kernel::supervision::{ChildSpec, Shutdown};
use foundation_kernel::{answer, ask, local_message};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::Hub;
use super::exporter::{AnyExporter, Exporter, Exports, any_exporter};
use crate::service_limit::MAX_SERVICES;

/// The shortest time between two ticks.
const MIN_TICK: Duration = Duration::from_millis(1);

/// What a telemetry service does at each tick.
///
/// | | default |
/// |---|---|
/// | [`tick_every`](Self::tick_every) | 10 s |
/// | [`idle_after`](Self::idle_after) | 1 h |
/// | [`max_services`](Self::max_services) | 1,000 |
/// | [`runtime_metrics`](Self::runtime_metrics) | yes |
/// | [`exporter`](Self::exporter) | none |
#[derive(Clone)]
pub struct TelemetryOptions {
    tick_every: Duration,
    idle_after: Option<Duration>,
    max_services: usize,
    runtime_metrics: bool,
    exporters: Vec<Arc<AnyExporter>>,
}

impl Default for TelemetryOptions {
    fn default() -> Self {
        Self {
            tick_every: Duration::from_secs(10),
            idle_after: Some(Duration::from_secs(3_600)),
            max_services: MAX_SERVICES,
            runtime_metrics: true,
            exporters: Vec::new(),
        }
    }
}

impl TelemetryOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The time between two ticks, on tokio's clock; at least 1 ms. Rates are those between two ticks.
    pub fn tick_every(mut self, period: Duration) -> Self {
        self.tick_every = period.max(MIN_TICK);
        self
    }

    /// How long a labelled counter or histogram without a holder may stay unchanged before it is retired; `None` for
    /// ever. Gauges are never idle, and series without labels stay.
    pub fn idle_after(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.idle_after = time.into();
        self
    }

    /// How many services may have series of their own in the families `service.…`. The figures of further ones are summed
    /// in the series of the service `_other`, of which no count falls: one that is among them stays there until it has
    /// ended and is forgotten. [`ServiceInfo`](foundation_kernel::names::ServiceInfo) has the figures of each.
    pub fn max_services(mut self, services: usize) -> Self {
        self.max_services = services;
        self
    }

    /// Whether the gauges `tokio.workers`, `tokio.alive_tasks` and `tokio.global_queue_depth` show, as of the start or
    /// the last tick, the runtime that the service runs on. It is shared by all namespaces on it.
    pub fn runtime_metrics(mut self, wanted: bool) -> Self {
        self.runtime_metrics = wanted;
        self
    }

    /// Adds an exporter, in each namespace.
    pub fn exporter(mut self, exporter: impl Exporter) -> Self {
        self.exporters.push(any_exporter(exporter));
        self
    }
}

impl fmt::Debug for TelemetryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelemetryOptions")
            .field("tick_every", &self.tick_every)
            .field("idle_after", &self.idle_after)
            .field("max_services", &self.max_services)
            .field("runtime_metrics", &self.runtime_metrics)
            .field("exporters", &self.exporters.len())
            .finish()
    }
}

foundation_kernel::limits! {
    /// How long a telemetry service may take. None of its limits can be switched off: an exporter that hangs would hold up the
    /// end of the namespace. See [`RegistryLimits`](foundation_kernel::names::RegistryLimits) for the meaning of extreme
    /// values.
    pub struct TelemetryLimits {
        /// How long a request to the service may take, from the call to its answer; 5 s.
        answer: Duration = Duration::from_secs(5),
        /// How long one export may take before it is cancelled, on tokio's clock; 3 s. A [tick on
        /// request](crate::Telemetry::tick), and the end of the service, waits as long for the exporters, all together;
        /// the ticks of the clock wait for none.
        export: Duration = Duration::from_secs(3),
        /// How long the end of the service may take besides, to read every instrument for its last tick, before it is
        /// killed; 2 s.
        last_reading: Duration = Duration::from_secs(2),
    }
}

// ---- the actor ----

/// The name of the telemetry service in each namespace.
pub(super) const TELEMETRY: ServiceKey<TelemetryMsg> = ServiceKey::from_static("telemetry");

pub(super) enum TelemetryMsg {
    /// Rates, exports, retirement of idle series; answered when the exports are done.
    Tick(RpcReplyPort<()>),
    /// The same at the time of a tick; answered when the exports have begun, which may hang.
    ClockTick(RpcReplyPort<()>),
    /// Whether the actor answers.
    Ping(RpcReplyPort<()>),
}
local_message!(TelemetryMsg);

/// How to start the actor of a hub.
pub(super) fn child_spec(
    hub: &Arc<Hub>,
    registry: &ServiceRegistry,
    options: &TelemetryOptions,
    limits: &TelemetryLimits,
) -> ChildSpec {
    hub.services.lock().set(options.max_services);
    let exports = Arc::new(Exports::new(&options.exporters, limits.export));
    let server =
        TelemetryServer { hub: Arc::clone(hub), registry: registry.clone(), options: options.clone(), exports };
    let spec = registry.child_spec(&TELEMETRY, move || (server.clone(), ()));
    spec.shutdown(Shutdown::Timeout(limits.export.saturating_add(limits.last_reading)))
}

/// All that it changes is the hub's, and outlives it.
#[derive(Clone)]
struct TelemetryServer {
    hub: Arc<Hub>,
    registry: ServiceRegistry,
    options: TelemetryOptions,
    exports: Arc<Exports>,
}

impl TelemetryServer {
    /// The returned future ends when the exporters have done their work.
    fn tick(&self) -> impl Future<Output = ()> + Send + use<> {
        self.sample_next();
        let idle_after = self.options.idle_after.filter(|_| self.exports.keep_last_values());
        self.exports.hand_over(&self.hub, self.hub.tick(&self.registry, idle_after))
    }

    /// A tick on request, which is answered when the exporters have done their work.
    fn tick_for(&self, reply: RpcReplyPort<()>) {
        let exports = self.tick();
        if self.options.exporters.is_empty() {
            return answer(reply, ());
        }
        // On a task, which ends within the limit of exports, so that the actor can handle other messages meanwhile.
        tokio::spawn(async move {
            exports.await;
            answer(reply, ());
        });
    }

    /// Has the next reading sample the runtime that the actor runs on.
    fn sample_next(&self) {
        if let (true, Ok(runtime)) = (self.options.runtime_metrics, Handle::try_current()) {
            self.hub.sample_next(runtime);
        }
    }
}

#[cfg_attr(feature = "async-trait", foundation_kernel::ractor::async_trait)]
impl Actor for TelemetryServer {
    type Msg = TelemetryMsg;
    type State = Ticker;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<TelemetryMsg>, (): ()) -> Result<Ticker, ActorProcessingErr> {
        self.sample_next();
        Ok(Ticker::start(myself, self.options.tick_every))
    }

    async fn handle(
        &self,
        _: ActorRef<TelemetryMsg>,
        message: TelemetryMsg,
        _: &mut Ticker,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            TelemetryMsg::Tick(reply) => self.tick_for(reply),
            TelemetryMsg::ClockTick(reply) => {
                drop(self.tick());
                answer(reply, ());
            }
            TelemetryMsg::Ping(reply) => answer(reply, ()),
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<TelemetryMsg>, _: &mut Ticker) -> Result<(), ActorProcessingErr> {
        // The others have stopped before: these are their last numbers. Rates go on with the next actor, if there is
        // one.
        if !self.options.exporters.is_empty() {
            self.tick().await;
        }
        Ok(())
    }
}

/// A task that sends the actor each tick; it ends with this value.
struct Ticker(JoinHandle<()>);

impl Ticker {
    fn start(actor: ActorRef<TelemetryMsg>, every: Duration) -> Self {
        Self(tokio::spawn(tick(actor, every)))
    }
}

async fn tick(actor: ActorRef<TelemetryMsg>, every: Duration) {
    let mut clock = interval(every);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first one comes at once.
    clock.tick().await;
    loop {
        clock.tick().await;
        // One after the other: ticks do not queue up in front of an actor that is slow.
        if ask(&actor, TelemetryMsg::ClockTick).await.is_err() {
            return;
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.abort();
    }
}
