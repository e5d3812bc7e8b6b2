//! The builder of a registry: the parts of each namespace's tree.

use std::sync::Arc;

use super::measures::Measurement;
use super::namespace_state::{NamespaceReporter, NamespaceState};
use super::service_registry::ServiceRegistry;
use crate::limits::RegistryLimits;
use crate::supervisor::{
    Backoff, ChildKind, ChildSpec, Reporter, RestartIntensity, StartError, Strategy, SupervisorSpec, TracingReporter,
};

/// The supervisor, in each namespace, of the embedder's children.
pub(super) const APPLICATION: &str = "application";

type Prepare = Arc<dyn Fn(&ServiceRegistry) + Send + Sync>;
type Services = Arc<dyn Fn(&ServiceRegistry) -> Vec<ChildSpec> + Send + Sync>;
type Reporters = Arc<dyn Fn(&ServiceRegistry) -> Arc<dyn Reporter> + Send + Sync>;
type Application = Arc<dyn Fn(&ServiceRegistry) -> SupervisorSpec + Send + Sync>;

/// How to put a [`ProcessRegistry`](crate::ProcessRegistry) together: the parts of each namespace's tree.
#[derive(Clone)]
pub struct ProcessRegistryBuilder {
    prepare: Prepare,
    services: Services,
    application: Application,
    reporters: Reporters,
    intensity: RestartIntensity,
    pub(super) backoff: Backoff,
    pub(super) measurement: Measurement,
    pub(super) limits: RegistryLimits,
}

impl ProcessRegistryBuilder {
    /// Prepares each namespace before anything in it is made, for values that its services find there: its
    /// [extensions](ServiceRegistry::extension).
    pub fn prepare(mut self, prepare: impl Fn(&ServiceRegistry) + Send + Sync + 'static) -> Self {
        self.prepare = Arc::new(prepare);
        self
    }

    /// The services of each namespace, in start order, before its application.
    pub fn services(mut self, services: impl Fn(&ServiceRegistry) -> Vec<ChildSpec> + Send + Sync + 'static) -> Self {
        self.services = Arc::new(services);
        self
    }

    /// The application supervisor of each namespace: its strategy and first children. Default: none, one-for-one.
    pub fn application(
        mut self,
        application: impl Fn(&ServiceRegistry) -> SupervisorSpec + Send + Sync + 'static,
    ) -> Self {
        self.application = Arc::new(application);
        self
    }

    /// The reporter that is notified of what happens to the children in all namespaces. Default: [`TracingReporter`].
    pub fn reporter(mut self, reporter: impl Reporter) -> Self {
        let reporter: Arc<dyn Reporter> = Arc::new(reporter);
        self.reporters = Arc::new(move |_| Arc::clone(&reporter));
        self
    }

    /// The same, with a reporter for each namespace, made when the namespace starts.
    pub fn reporters(mut self, make: impl Fn(&ServiceRegistry) -> Arc<dyn Reporter> + Send + Sync + 'static) -> Self {
        self.reporters = Arc::new(make);
        self
    }

    /// How many restarts of its services, or of its application supervisor, a namespace survives.
    pub fn intensity(mut self, intensity: RestartIntensity) -> Self {
        self.intensity = intensity;
        self
    }

    /// The delay before production is started again after its end, for example because its services or its application
    /// could not be kept running. It grows as the delay of any child does; see [`Backoff`]. Default: no delay.
    pub fn backoff(mut self, backoff: impl Into<Backoff>) -> Self {
        self.backoff = backoff.into();
        self
    }

    /// How much is measured of services without a setting of their own, [`services`](Self::services) included: see
    /// [`ServiceRegistry::measured`]. Default: [`Measurement::Sampled`].
    pub fn measurement(mut self, measurement: Measurement) -> Self {
        self.measurement = measurement;
        self
    }

    /// How long the steps of the registry, and of all supervisors in its tree, may take.
    pub fn limits(mut self, limits: RegistryLimits) -> Self {
        self.limits = limits;
        self
    }
}

impl Default for ProcessRegistryBuilder {
    fn default() -> Self {
        Self {
            prepare: Arc::new(|_| ()),
            services: Arc::new(|_| Vec::new()),
            application: Arc::new(|_| SupervisorSpec::new(Strategy::OneForOne)),
            reporters: Arc::new(|_| Arc::new(TracingReporter)),
            intensity: RestartIntensity::default(),
            backoff: Backoff::None,
            measurement: Measurement::default(),
            limits: RegistryLimits::default(),
        }
    }
}

impl ProcessRegistryBuilder {
    pub(super) fn tree(&self, registry: &ServiceRegistry) -> SupervisorSpec {
        (self.prepare)(registry);
        let state = Arc::clone(registry.state());
        SupervisorSpec::new(Strategy::OneForOne)
            .intensity(self.intensity)
            .holding(state.postpone_end())
            .reporter(NamespaceReporter { state: Arc::clone(&state), next: (self.reporters)(registry) })
            .children((self.services)(registry))
            .child(application(state, (self.application)(registry)))
    }
}

/// The supervisor of the embedder's children, which makes itself known in its namespace at each start.
fn application(state: Arc<NamespaceState>, spec: SupervisorSpec) -> ChildSpec {
    ChildSpec::from_fn(APPLICATION, ChildKind::Supervisor, move |context| {
        let (state, spec) = (Arc::clone(&state), spec.clone());
        async move {
            let (started, supervisor, direct_spawner) = context.spawn_with_direct_spawner(spec).await?;
            state.application_started(supervisor, direct_spawner);
            Ok::<_, StartError>(started)
        }
    })
    .in_health()
}
