//! Putting a foundation together.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use foundation_kernel::names::{Measurement, Namespace, ProcessRegistry, Service};
use foundation_kernel::supervision::{Backoff, ChildSpec, ExponentialBackoff, RestartIntensity, StartError, Strategy};
use tokio::runtime::Handle;

use foundation_config_server::{ConfigError, ConfigSources, ConfigTree};
use foundation_events::EventStorage;
use foundation_telemetry::{EarlyTelemetry, TelemetryOptions};

use super::Layout;
use crate::error::FoundationError;
use crate::foundation::Foundation;
use crate::limits::Limits;
use crate::recording::Recording;
use crate::services::Services;
use crate::unfinished::Unfinished;

/// How to put a [`Foundation`] together.
///
/// | | default |
/// |---|---|
/// | [`config`](Self::config) | no settings |
/// | [`service`](Self::service) | the foundation's own only |
/// | [`child`](Self::child) | no children of the application's own |
/// | [`strategy`](Self::strategy) | one-for-one |
/// | [`intensity`](Self::intensity), [`root_intensity`](Self::root_intensity) | that of [`RestartIntensity`]: 3 restarts within 5 s |
/// | [`events`](Self::events) | events of production and of named namespaces in memory |
/// | [`test_events`](Self::test_events) | tests' events in memory |
/// | [`clock`](Self::clock) | the system's |
/// | [`measurement`](Self::measurement) | each message is counted, one in 8 is timed |
/// | [`telemetry`](Self::telemetry) | [`TelemetryOptions::new`] |
/// | [`early_telemetry`](Self::early_telemetry) | none |
/// | [`record`](Self::record) | [`Recording::Failures`] |
/// | `discovery` | `DiscoveryOptions::new`, with the feature `discovery` |
/// | `record_pools` | `PoolRecording::Failures`, with the feature `pool` |
/// | `record_discovery` | `DiscoveryRecording::Changes`, with the feature `discovery` |
/// | `kind`, `managed` | no managed services, with the feature `managed` |
/// | `record_managed` | `ManagedRecording::Changes`, with the feature `managed` |
/// | [`service_intensity`](Self::service_intensity) | [`RestartIntensity::UNLIMITED`] |
/// | [`service_backoff`](Self::service_backoff) | exponential, from 10 ms to 30 s, with a tenth of jitter |
/// | [`limits`](Self::limits) | [`Limits::new`] |
#[derive(Clone)]
pub struct FoundationBuilder {
    sources: ConfigSources,
    layout: Layout,
}

impl fmt::Debug for FoundationBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FoundationBuilder")
            .field("services", &self.layout.services)
            .field("limits", &self.layout.limits)
            .finish_non_exhaustive()
    }
}

impl Default for FoundationBuilder {
    fn default() -> Self {
        let layout = Layout {
            config: Arc::default(),
            clock: None,
            events: EventStorage::memory(),
            test_events: EventStorage::memory(),
            telemetry: TelemetryOptions::new(),
            early: None,
            services: Vec::new(),
            children: Vec::new(),
            strategy: Strategy::OneForOne,
            intensity: RestartIntensity::default(),
            root_intensity: RestartIntensity::default(),
            measurement: Measurement::default(),
            limits: Limits::default(),
            recording: Recording::default(),
            #[cfg(feature = "discovery")]
            discovery: crate::discovery::observer::DiscoveryLayout::default(),
            #[cfg(feature = "managed")]
            managed: crate::managed::layout::ManagedLayout::default(),
            #[cfg(feature = "pool")]
            pools: crate::pool::PoolRecording::default(),
            service_intensity: RestartIntensity::UNLIMITED,
            service_backoff: service_backoff(),
        };
        Self { sources: ConfigSources::new(), layout }
    }
}

// Here and not beside the rest of `Foundation`, which needs no builder.
impl Foundation {
    /// How to start one.
    pub fn builder() -> FoundationBuilder {
        FoundationBuilder::default()
    }
}

impl FoundationBuilder {
    /// Where the settings come from; every namespace begins with them.
    pub fn config(mut self, sources: ConfigSources) -> Self {
        self.sources = sources;
        self
    }

    /// Adds a child to the application of each namespace, at the end of the start order. The function receives the
    /// namespace that the child is for.
    pub fn child(mut self, make: impl Fn(&Services) -> ChildSpec + Send + Sync + 'static) -> Self {
        self.layout.children.push(Arc::new(make));
        self
    }

    /// Adds a service to each namespace, on the same footing as the foundation's own: it starts before the application and
    /// after the services that it [needs](Service::needs), is restarted by the rules of
    /// [`service_intensity`](Self::service_intensity) and [`service_backoff`](Self::service_backoff) unless its child
    /// specification has its own, and stops after the application. It counts in the health if its child specification
    /// [says so](ChildSpec::in_health).
    pub fn service(mut self, service: Service) -> Self {
        self.layout.services.push(service);
        self
    }

    /// Which children of the application restart together with a failed one.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.layout.strategy = strategy;
        self
    }

    /// How many restarts of the application's children are too many.
    pub fn intensity(mut self, intensity: RestartIntensity) -> Self {
        self.layout.intensity = intensity;
        self
    }

    /// How many restarts of production as a whole are too many: then the foundation ends; see
    /// [`ProcessRegistryBuilder::root_intensity`](crate::names::ProcessRegistryBuilder::root_intensity).
    pub fn root_intensity(mut self, intensity: RestartIntensity) -> Self {
        self.layout.root_intensity = intensity;
        self
    }

    /// Where production and each [named](crate::Namespace::Named) namespace keep their events, and for how long. Each
    /// namespace has a log of its own there, such as `production.db` and `staging.db`; tests' namespaces keep theirs in
    /// memory, or where [`test_events`](Self::test_events) says.
    pub fn events(mut self, storage: EventStorage) -> Self {
        self.layout.events = storage;
        self
    }

    /// Where test namespaces keep their events: for tests of just that. Each needs a place of its own.
    pub fn test_events(mut self, storage: EventStorage) -> Self {
        self.layout.test_events = storage;
        self
    }

    /// The time of day that events are recorded with.
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.layout.clock = Some(Arc::new(clock));
        self
    }

    /// How much is measured of the services of each namespace, its own and the application's, that do not set it
    /// themselves: see [`ServiceRegistry::measured`](foundation_kernel::names::ServiceRegistry::measured).
    pub fn measurement(mut self, measurement: Measurement) -> Self {
        self.layout.measurement = measurement;
        self
    }

    /// What the telemetry of each namespace does by itself: ticks, exports, retirement of idle series.
    pub fn telemetry(mut self, options: TelemetryOptions) -> Self {
        self.layout.telemetry = options;
        self
    }

    /// What is recorded of supervision, in each namespace.
    pub fn record(mut self, recording: Recording) -> Self {
        self.layout.recording = recording;
        self
    }

    /// The limits and rules of discovery in each namespace; see [`DiscoveryOptions`](crate::discovery::DiscoveryOptions).
    #[cfg(feature = "discovery")]
    pub fn discovery(mut self, options: crate::discovery::DiscoveryOptions) -> Self {
        let recording = self.layout.discovery.recording;
        self.layout.discovery = crate::discovery::observer::DiscoveryLayout::new(options, recording);
        self
    }

    /// What is recorded of the instances of services, in each namespace.
    #[cfg(feature = "discovery")]
    pub fn record_discovery(mut self, recording: crate::discovery::DiscoveryRecording) -> Self {
        self.layout.discovery.recording = recording;
        self
    }

    /// What is recorded of pools, in each namespace.
    #[cfg(feature = "pool")]
    pub fn record_pools(mut self, recording: crate::pool::PoolRecording) -> Self {
        self.layout.pools = recording;
        self
    }

    /// Registers a kind of managed services in each namespace, which then has [managed services](Services::managed). A kind
    /// that is refused, because of its name, say, is the error of [`start`](Self::start).
    #[cfg(feature = "managed")]
    pub fn kind<K: crate::managed::ServiceKind>(mut self, kind: K) -> Self {
        self.layout.managed.add_kind(kind);
        self
    }

    /// Gives each namespace [managed services](Services::managed) also without a [`kind`](Self::kind): for kinds that are
    /// [registered](crate::managed::Managed::register_kind) at run time.
    #[cfg(feature = "managed")]
    pub fn managed(mut self) -> Self {
        self.layout.managed.without_kinds = true;
        self
    }

    /// What is recorded of the lifecycles of managed services, in each namespace.
    #[cfg(feature = "managed")]
    pub fn record_managed(mut self, recording: crate::managed::ManagedRecording) -> Self {
        self.layout.managed.recording = recording;
        self
    }

    /// How many restarts of one of the services are too many: then its namespace ends as a whole. Production is started
    /// again a few times, a [named](Namespace::Named) namespace as often as it ends, and a test's is not. By default none
    /// are too many: a service that fails for hours, on a full disk, say, ends nothing that does not need it. The
    /// [health](Services::health) shows it, and it is restarted until it works.
    ///
    /// The first start does not count as a restart: a service that does not start with the foundation, such as an event
    /// store that cannot be opened, is the error of [`start`](Self::start).
    pub fn service_intensity(mut self, intensity: RestartIntensity) -> Self {
        self.layout.service_intensity = intensity;
        self
    }

    /// The delay before one of the foundation's own services is restarted. It grows from failure to failure, and begins
    /// anew when the service has lived for a while; see [`Backoff`]. Production and [named](Namespace::Named) namespaces
    /// are restarted as a whole with the same delays, after their application could not be kept running, say.
    ///
    /// Production is given up after more restarts than [`root_intensity`](Self::root_intensity) allows. With longer delays
    /// than that counts, by default with a first one of more than 1.6 s, it never is: the process then neither serves nor
    /// exits for as long as the application cannot run. A named namespace is never given up and affects no other; with [`Backoff::None`] it is restarted after 1 s each time.
    pub fn service_backoff(mut self, backoff: impl Into<Backoff>) -> Self {
        self.layout.service_backoff = backoff.into();
        self
    }

    /// How long things may take, in each namespace.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.layout.limits = limits;
        self
    }

    /// Production continues with the instruments from before its start: with everything that the `metrics` facade and
    /// `tracing` have counted through them.
    pub fn early_telemetry(mut self, early: &EarlyTelemetry) -> Self {
        self.layout.early = Some(early.clone());
        self
    }

    /// Loads the configuration, starts the registry and, in it, production. If the future is dropped before it is
    /// complete, everything started so far is stopped again in the background; until then a file of events is in use.
    ///
    /// # Errors
    /// [`FoundationError`] with the cause: the file, line and column of a malformed setting, or the error of the child
    /// that did not start.
    pub async fn start(self) -> Result<Foundation, FoundationError> {
        let (registry, config, production) = self.open_with(Namespace::Production).await?;
        Ok(Foundation::new(registry, config, production))
    }

    /// A registry with one namespace in it.
    async fn open_with(
        self,
        namespace: Namespace,
    ) -> Result<(ProcessRegistry, Arc<ConfigTree>, Services), FoundationError> {
        let (registry, config) = self.open().await?;
        let unfinished = Unfinished::registry(&registry);
        let opened = Services::open(&registry, &config, namespace).await;
        if opened.is_err() {
            registry.shutdown().await;
        }
        unfinished.finish();
        Ok((registry, config, opened?))
    }

    /// A registry with a test's namespace in it, and no production.
    pub(crate) async fn open_test(self) -> Result<(ProcessRegistry, Services), FoundationError> {
        let (registry, _, services) = self.open_with(Namespace::test()).await?;
        Ok((registry, services))
    }

    /// The registry alone, no namespace started yet.
    async fn open(mut self) -> Result<(ProcessRegistry, Arc<ConfigTree>), FoundationError> {
        // Before anything is read, and not as a panic of the first component that needs a runtime.
        Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        #[cfg(feature = "managed")]
        self.layout.managed.check()?;
        let config = Arc::new(load(self.sources).await?);
        for variable in config.unknown_variables() {
            tracing::warn!("{variable}");
        }
        self.layout.config = Arc::clone(&config);
        let registry = Arc::new(self.layout).registry().start().await?;
        Ok((registry, config))
    }
}

fn service_backoff() -> Backoff {
    let (first, cap) = (Duration::from_millis(10), Duration::from_secs(30));
    let backoff = ExponentialBackoff::new(first, 2.0, cap).and_then(|backoff| backoff.jitter(0.1));
    // Its numbers are valid; if they were not, the delay would be the cap.
    backoff.map_or(Backoff::Constant(cap), Backoff::from)
}

async fn load(sources: ConfigSources) -> Result<ConfigTree, ConfigError> {
    // Reads a file, so not on a worker thread.
    match tokio::task::spawn_blocking(move || sources.load()).await {
        Ok(loaded) => loaded,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and the awaiting task with it.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_of_services_grows_from_ten_milliseconds_to_thirty_seconds_with_a_tenth_of_jitter() {
        let backoff = service_backoff();
        let (first, cap) = (Duration::from_millis(10), Duration::from_secs(30));
        let expected = ExponentialBackoff::new(first, 2.0, cap).and_then(|backoff| backoff.jitter(0.1));
        assert_eq!(backoff, Backoff::from(expected.unwrap()));
    }
}
