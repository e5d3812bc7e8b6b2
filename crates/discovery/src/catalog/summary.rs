//! What there is of one service, in short.

use std::collections::BTreeMap;
use std::fmt;

use foundation_kernel::names::ServiceName;
use serde::Serialize;

use super::error::FindError;
use super::value::Catalog;
use crate::health::ServiceHealth;
use crate::instance::{Capability, InstanceRecord};

/// A service in short: its health, and how many of its instances have which version, capability and zone.
///
/// ```
/// # use foundation_kernel::names::{Namespace, ProcessRegistry};
/// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
/// use foundation_discovery::{Discovery, Instance};
/// # struct Clerk;
/// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
/// # impl Actor for Clerk {
/// #     type Msg = u64; type State = (); type Arguments = ();
/// #     async fn pre_start(&self, _: ActorRef<u64>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let registry = ProcessRegistry::start().await?;
/// let discovery = Discovery::of(&registry.namespace(Namespace::test()).await?);
/// let clerk = Instance::builder("clerks", "a").version("1.4.2").capability("refund").build()?;
/// discovery.spawn(&clerk, Clerk, ()).await?;
///
/// let summary = discovery.service(clerk.service())?;
/// assert_eq!(summary.versions["1.4.2"], 1);
/// assert_eq!(summary.to_string(), "clerks is healthy: 1 unknown; versions: 1.4.2 (1); capabilities: refund (1)");
///
/// let error = discovery.service(&"clerk".parse()?).unwrap_err();
/// assert_eq!(error.to_string(), "there is no instance of clerk; did you mean clerks?");
/// # registry.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ServiceSummary {
    /// The name of the service.
    pub service: ServiceName,
    /// How many instances it has.
    pub instances: usize,
    /// Its health, with how many instances have which status.
    pub health: ServiceHealth,
    /// How many instances have which version; those without one are not counted.
    pub versions: BTreeMap<String, usize>,
    /// How many instances have which capability, by name.
    pub capabilities: BTreeMap<String, usize>,
    /// How many instances are in which zone; those without one are not counted.
    pub zones: BTreeMap<String, usize>,
}

impl ServiceSummary {
    /// The summary of a service with these instances.
    pub(super) fn of<'a>(
        service: &ServiceName,
        health: ServiceHealth,
        records: impl Iterator<Item = &'a InstanceRecord> + Clone,
    ) -> Self {
        let instances = records.clone().map(|record| &*record.instance);
        Self {
            service: service.clone(),
            instances: records.count(),
            health,
            versions: count(instances.clone().filter_map(|it| Some(it.version()?.to_string()))),
            capabilities: count(
                instances.clone().flat_map(|it| it.capabilities().map(Capability::name)).map(str::to_owned),
            ),
            zones: count(instances.filter_map(|it| Some(it.zone()?.to_string()))),
        }
    }
}

fn count(texts: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    texts.for_each(|text| *counts.entry(text).or_insert(0) += 1);
    counts
}

impl fmt::Display for ServiceSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.health)?;
        for (what, counts) in
            [("versions", &self.versions), ("capabilities", &self.capabilities), ("zones", &self.zones)]
        {
            if !counts.is_empty() {
                let counts: Vec<_> = counts.iter().map(|(text, count)| format!("{text} ({count})")).collect();
                write!(f, "; {what}: {}", counts.join(", "))?;
            }
        }
        Ok(())
    }
}

impl Catalog {
    /// A service in short. Cost: linear in its instances.
    ///
    /// # Errors
    /// [`FindError::NoService`] names services of similar names.
    pub fn summary(&self, service: &ServiceName) -> Result<ServiceSummary, FindError> {
        self.check_has(service)?;
        Ok(self.summary_of(service))
    }

    /// All services in short, sorted by name. Cost: linear in the instances.
    pub fn summaries(&self) -> impl ExactSizeIterator<Item = ServiceSummary> {
        self.services().map(|service| self.summary_of(service))
    }

    fn summary_of(&self, service: &ServiceName) -> ServiceSummary {
        ServiceSummary::of(service, self.service_health(service), self.instances(service))
    }
}
