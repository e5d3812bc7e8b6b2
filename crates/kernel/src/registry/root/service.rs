//! The services of a namespace, and the order in which they start.

use std::fmt;
use std::sync::Arc;

use crate::containment::{CaughtPanic, catch_panic};
use crate::namespace::ServiceName;
use crate::near::NearMisses;
use crate::registry::client::{APPLICATION, ServiceRegistry};
use crate::supervisor::{ChildId, ChildSpec};
use crate::text::one_line;

/// A service of every namespace: its name, what it needs, and how it is started. Its health is that of its
/// [child specification](ChildSpec::health_check).
///
/// The services of a namespace start before its application, each after those that it needs, and stop after it in
/// reverse order.
///
/// ```
/// # use foundation_kernel::names::ServiceKey;
/// use foundation_kernel::names::{Namespace, ProcessRegistry, Service};
/// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
/// # struct Prices;
/// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
/// # impl Actor for Prices {
/// #     type Msg = u64; type State = (); type Arguments = ();
/// #     async fn pre_start(&self, _: ActorRef<u64>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
/// # }
/// const PRICES: ServiceKey<u64> = ServiceKey::from_static("prices");
/// const OFFERS: ServiceKey<u64> = ServiceKey::from_static("offers");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let offers = Service::new(OFFERS.name().clone(), |names| names.child_spec(&OFFERS, || (Prices, ())));
/// let prices = Service::new(PRICES.name().clone(), |names| names.child_spec(&PRICES, || (Prices, ())));
/// let offers = offers.needs(PRICES.name().clone());
///
/// // Prices start first, though they are added last.
/// let root = ProcessRegistry::builder().service(offers).service(prices).start().await?;
/// let names = root.namespace(Namespace::Production).await?;
/// assert!(names.is_registered(&PRICES) && names.is_registered(&OFFERS));
/// root.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Service {
    name: ServiceName,
    needs: Vec<ServiceName>,
    child_spec: Arc<dyn Fn(&ServiceRegistry) -> ChildSpec + Send + Sync>,
}

impl Service {
    /// A service of this name, which is also the id of the child that the function describes. The function is called
    /// at each start of a namespace, for all services before the first of them starts.
    pub fn new(name: ServiceName, child_spec: impl Fn(&ServiceRegistry) -> ChildSpec + Send + Sync + 'static) -> Self {
        Self { name, needs: Vec::new(), child_spec: Arc::new(child_spec) }
    }

    /// Adds a service that this one needs: it starts before this one, and while it is not healthy this one is
    /// [degraded](ChildSpec::needs). Both count in the health of the namespace then.
    pub fn needs(mut self, service: ServiceName) -> Self {
        self.needs.push(service);
        self
    }

    /// Changes its child specification, for example its restart intensity.
    pub fn with_child_spec(self, change: impl Fn(ChildSpec) -> ChildSpec + Send + Sync + 'static) -> Self {
        let make = self.child_spec;
        Self { child_spec: Arc::new(move |names| change(make(names))), ..self }
    }

    /// Its name.
    pub fn name(&self) -> &ServiceName {
        &self.name
    }

    pub(super) fn needed(&self) -> &[ServiceName] {
        &self.needs
    }

    /// How it is started in a namespace.
    ///
    /// # Errors
    /// [`LayoutError::Panicked`], [`LayoutError::OtherId`].
    pub(super) fn child_spec(&self, names: &ServiceRegistry) -> Result<ChildSpec, LayoutError> {
        let spec = made(format_args!("the function of service {}", self.name), || (self.child_spec)(names))?;
        if spec.id().as_str() != self.name.as_str() {
            return Err(LayoutError::OtherId { service: self.name.clone(), id: spec.id().clone() });
        }
        Ok(self.needs.iter().cloned().fold(spec, ChildSpec::needs))
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.name).field("needs", &self.needs).finish_non_exhaustive()
    }
}

/// Why a namespace cannot be put together of its services and the other parts that a
/// [`ProcessRegistryBuilder`](crate::names::ProcessRegistryBuilder) has.
///
/// The first four are refused when the registry starts, the others when a namespace does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// A service needs one that is not there.
    #[error("service {service} needs {needed}, which is no service of the namespace{near}")]
    Missing {
        /// The service that needs it.
        service: ServiceName,
        /// What it needs.
        needed: ServiceName,
        /// Services with similar names.
        near: NearMisses,
    },
    /// Services need each other in a circle.
    #[error("none of the services {} can start first: each needs another of them", listed(.services))]
    Circle {
        /// The services of the circle and those that need them, in the order in which they were added.
        services: Vec<ServiceName>,
    },
    /// Two services have the same name.
    #[error("two services have the name {name}")]
    Duplicate {
        /// The name.
        name: ServiceName,
    },
    /// A service has the name of the application's supervisor, `application`.
    #[error("a service cannot have the name {name}: the supervisor of the application has it")]
    Reserved {
        /// The name.
        name: ServiceName,
    },
    /// The child that a service describes has another id than the service has a name.
    #[error("service {service} describes a child with the id {id}: give the two the same name")]
    OtherId {
        /// The service.
        service: ServiceName,
        /// The id of its child.
        id: ChildId,
    },
    /// A function of the builder, or of a service, panicked.
    #[error("{part} panicked: {panic}")]
    Panicked {
        /// The function, for display.
        part: String,
        /// The text of the panic.
        panic: String,
    },
}

/// Calls a function that makes a part of a namespace.
///
/// # Errors
/// [`LayoutError::Panicked`].
pub(super) fn made<T>(part: impl fmt::Display, make: impl FnOnce() -> T) -> Result<T, LayoutError> {
    let panicked = |panic: CaughtPanic| one_line(panic.text()).into_owned();
    catch_panic(make).map_err(|panic| LayoutError::Panicked { part: part.to_string(), panic: panicked(panic) })
}

fn listed(services: &[ServiceName]) -> String {
    services.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(", ")
}

/// Orders services so that each comes after those that it needs, and otherwise as they were added.
///
/// # Errors
/// [`LayoutError`].
pub(super) fn start_order(mut services: Vec<Service>) -> Result<Vec<Service>, LayoutError> {
    check_names(&services)?;
    let mut ordered: Vec<Service> = Vec::with_capacity(services.len());
    while !services.is_empty() {
        let is_there = |needed: &ServiceName| ordered.iter().any(|service| service.name == *needed);
        let Some(next) = services.iter().position(|service| service.needs.iter().all(is_there)) else {
            let services = services.into_iter().map(|service| service.name).collect();
            return Err(LayoutError::Circle { services });
        };
        ordered.push(services.remove(next));
    }
    Ok(ordered)
}

fn check_names(services: &[Service]) -> Result<(), LayoutError> {
    let has = |name: &ServiceName| services.iter().any(|service| service.name == *name);
    for (at, service) in services.iter().enumerate() {
        if service.name.as_str() == APPLICATION {
            return Err(LayoutError::Reserved { name: service.name.clone() });
        }
        if services[..at].iter().any(|earlier| earlier.name == service.name) {
            return Err(LayoutError::Duplicate { name: service.name.clone() });
        }
        if let Some(needed) = service.needs.iter().find(|needed| !has(needed)) {
            let known = services.iter().map(|service| service.name.as_str());
            let (needed, near) = (needed.clone(), NearMisses::of(needed.as_str(), known));
            return Err(LayoutError::Missing { service: service.name.clone(), needed, near });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> ServiceName {
        ServiceName::new(text).unwrap()
    }

    fn service(text: &str, needs: &[&str]) -> Service {
        let service = Service::new(name(text), |_| unreachable!("nothing is started here"));
        needs.iter().fold(service, |service, needed| service.needs(name(needed)))
    }

    fn order(services: &[Service]) -> Result<Vec<String>, String> {
        let ordered = start_order(services.to_vec()).map_err(|error| error.to_string())?;
        Ok(ordered.iter().map(|service| service.name().to_string()).collect())
    }

    #[test]
    fn a_service_that_needs_one_that_is_not_there_is_refused_with_a_similar_name() {
        let services = [service("event_store", &[]), service("config", &["event_stor"])];
        let expected =
            "service config needs event_stor, which is no service of the namespace; did you mean event_store?";
        assert_eq!(order(&services).unwrap_err(), expected);
    }

    #[test]
    fn services_that_need_each_other_are_refused_together() {
        let services = [service("a", &[]), service("b", &["c"]), service("c", &["b"])];
        let expected = "none of the services b, c can start first: each needs another of them";
        assert_eq!(order(&services).unwrap_err(), expected);
        assert!(order(&[service("a", &["a"])]).unwrap_err().starts_with("none of the services a can start first"));
    }

    #[test]
    fn two_services_of_one_name_are_refused() {
        assert_eq!(order(&[service("a", &[]), service("a", &[])]).unwrap_err(), "two services have the name a");
    }

    #[test]
    fn a_service_with_the_name_of_the_application_is_refused() {
        let expected = "a service cannot have the name application: the supervisor of the application has it";
        assert_eq!(order(&[service("application", &[])]).unwrap_err(), expected);
    }

    proptest! {
        #[test]
        fn each_service_starts_after_those_that_it_needs_and_otherwise_as_added(
            needs in vec(vec(any::<prop::sample::Index>(), 0..4), 1..12),
            shuffle: u64,
        ) {
            // A service needs only earlier ones, so there is an order; then they are shuffled.
            let text = |at: usize| format!("s{at}");
            let mut services: Vec<_> = needs.iter().enumerate().map(|(at, needs)| {
                let needed: Vec<_> = needs.iter().filter(|_| at > 0).map(|index| text(index.index(at))).collect();
                service(&text(at), &needed.iter().map(String::as_str).collect::<Vec<_>>())
            }).collect();
            prop_assert_eq!(order(&services).unwrap(), (0..services.len()).map(text).collect::<Vec<_>>());
            fastrand::Rng::with_seed(shuffle).shuffle(&mut services);
            let ordered = start_order(services.clone()).unwrap();
            prop_assert_eq!(ordered.len(), services.len());
            for (at, service) in ordered.iter().enumerate() {
                for needed in &service.needs {
                    prop_assert!(ordered[..at].iter().any(|earlier| earlier.name == *needed));
                }
            }
        }
    }
}
