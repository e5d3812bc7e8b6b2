//! What each namespace offers.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use foundation_core::{Health, ProcessRegistry, RegistryError, ServiceName, ServiceRegistry};

use super::health::{NamespaceHealth, ServiceHealth};
use super::limits::HealthLimits;
use crate::config::{ConfigServer, ConfigTree};
use crate::events::EventStore;
use crate::telemetry::Telemetry;

/// What the supervisor of the embedder's children is called.
const APPLICATION: ServiceName = ServiceName::from_static("application");

/// Which service needs which other one to do all of its work.
const NEEDS: [(&str, &str); 1] = [("config_server", "event_store")];

/// One namespace with its services: what an application's code, and each test, works with.
///
/// It is its [`ServiceRegistry`], and dereferences to it: `services.spawn(..)`, `services.via(..)`. Cheap to clone; give
/// it to actors at spawn so that they know where they live.
#[derive(Clone, Debug)]
pub struct Services {
    registry: ServiceRegistry,
    config: ConfigServer,
    events: EventStore,
    telemetry: Telemetry,
    limits: Arc<HealthLimits>,
}

impl Services {
    pub(super) fn of(registry: &ServiceRegistry, config: &Arc<ConfigTree>) -> Self {
        Self {
            registry: registry.clone(),
            config: ConfigServer::new(registry, config),
            events: EventStore::of(registry),
            telemetry: Telemetry::of(registry),
            limits: registry.extension(HealthLimits::default),
        }
    }

    pub(super) async fn open(
        registry: &ProcessRegistry,
        config: &Arc<ConfigTree>,
        namespace: foundation_core::Namespace,
    ) -> Result<Self, RegistryError> {
        Ok(Self::of(&registry.namespace(namespace).await?, config))
    }

    /// The names of this namespace.
    pub fn registry(&self) -> &ServiceRegistry {
        &self.registry
    }

    /// Its configuration.
    pub fn config(&self) -> &ConfigServer {
        &self.config
    }

    /// Its events.
    pub fn events(&self) -> &EventStore {
        &self.events
    }

    /// Its telemetry.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// How each service is: the three of the foundation are asked, and so is the application's supervisor, each for at
    /// most [1 s](HealthLimits::answer); of all others it is looked whether they take messages.
    pub async fn health(&self) -> NamespaceHealth {
        let limit = self.limits.answer;
        let (telemetry, events, config, application) = futures::join!(
            within(limit, async { self.telemetry.handlers().await.map_err(|error| error.to_string()) }),
            within(limit, async {
                self.events.stats().await.map_err(|error| error.to_string())?;
                self.events.outage().map_or(Ok(()), |outage| Err(outage.to_string()))
            }),
            within(limit, async { self.config.status().await.map_err(|error| error.to_string()) }),
            within(limit, async {
                let application = self.registry.application().map_err(|error| error.to_string())?;
                application.count_children().await.map_err(|error| error.to_string())
            }),
        );
        let (telemetry, events) = ((Telemetry::NAME, telemetry), (EventStore::NAME, events));
        let asked = [telemetry, events, (ConfigServer::NAME, config), (APPLICATION, application)];
        let mut services = asked.map(|(name, health)| ServiceHealth::new(name.as_str(), health)).to_vec();
        services.extend(self.looked_at(&services));
        NamespaceHealth::new(self.registry.namespace(), services, &NEEDS)
    }

    fn looked_at(&self, asked: &[ServiceHealth]) -> Vec<ServiceHealth> {
        let is_asked = |name: &ServiceName| asked.iter().any(|service| service.name == name.as_str());
        let others = self.registry.service_info().services.into_iter().filter(|service| !is_asked(&service.name));
        others
            .map(|service| {
                let health = if service.healthy { Health::Healthy } else { Health::Dead };
                ServiceHealth::new(service.name.as_str(), health)
            })
            .collect()
    }
}

async fn within<T>(limit: Duration, question: impl Future<Output = Result<T, String>>) -> Health {
    match tokio::time::timeout(limit, question).await {
        Ok(Ok(_)) => Health::Healthy,
        Ok(Err(reason)) => Health::Failed(reason),
        Err(_) => Health::TimedOut(limit),
    }
}

impl Deref for Services {
    type Target = ServiceRegistry;

    fn deref(&self) -> &ServiceRegistry {
        &self.registry
    }
}
