//! The client of a namespace's discovery.

mod checking;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::names::{ServiceKey, ServiceName, ServiceRegistry};
use foundation_kernel::ractor::{Actor, ActorCell, ActorRef, Message};
use foundation_kernel::supervision::ChildSpec;
use tokio::time::Instant;

use super::drain::{Drained, drain, resume};
use super::error::{DiscoveryError, OtherInstances};
use super::lease::InstanceLease;
use super::lease::cell::LeaseCell;
use super::lease::keeper::Keeper;
use super::notice::NoticeReader;
use super::options::DiscoveryOptions;
use super::places::LimitReached;
use super::registration::{InstanceRegistration, Place};
use super::state::Shared;
use super::watch::InstanceWatch;
use crate::catalog::{Catalog, FindError, ServiceSummary};
use crate::choice::LoadReading;
use crate::criteria::Criteria;
use crate::health::{InstanceHealth, ServiceHealth};
use crate::instance::{Capability, Instance, InstanceBuilder, InstanceName, InstanceRecord};
use crate::lease::LeaseTerms;

/// Discovery in one namespace: registering instances, finding them, watching them, and choosing one.
///
/// A handle, cheap to clone; all handles of a namespace share what they know. It asks no actor: an instance is a registered
/// name whose metadata is an [`Instance`], each reader applies what the registry has noted since the last one, and so an
/// instance is found as soon as its registration has returned. Reading costs a lock, and what has changed meanwhile.
///
/// ```
/// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
/// use std::time::Duration;
/// use foundation_discovery::{Criteria, Discovery, Instance};
/// use foundation_kernel::names::{Namespace, ProcessRegistry, ServiceName};
///
/// struct Clerk;
/// enum ClerkMsg { Price(RpcReplyPort<u64>) }
/// foundation_kernel::local_message!(ClerkMsg);
/// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
/// # impl Actor for Clerk {
/// #     type Msg = ClerkMsg; type State = (); type Arguments = ();
/// #     async fn pre_start(&self, _: ActorRef<ClerkMsg>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
/// #     async fn handle(&self, _: ActorRef<ClerkMsg>, message: ClerkMsg, _: &mut ()) -> Result<(), ActorProcessingErr> {
/// #         let ClerkMsg::Price(reply) = message;
/// #         let _ = reply.send(42);
/// #         Ok(())
/// #     }
/// # }
/// const CLERKS: ServiceName = ServiceName::from_static("clerks");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let registry = ProcessRegistry::start().await?;
/// let discovery = Discovery::of(&registry.namespace(Namespace::test()).await?);
/// for id in ["a", "b"] {
///     let clerk = Instance::builder("clerks", id).version("1.4.2").build()?;
///     discovery.spawn(&clerk, Clerk, ()).await?;
/// }
///
/// let mut clerks = discovery.selector(Criteria::service(&CLERKS).version("^1.4")?);
/// assert_eq!(clerks.call(ClerkMsg::Price, Duration::from_secs(1)).await?, 42);
/// registry.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Discovery {
    pub(super) shared: Arc<Shared>,
}

impl Discovery {
    /// Discovery in this namespace, with the options of the first handle, or with the defaults if this is the first.
    pub fn of(names: &ServiceRegistry) -> Self {
        Self { shared: names.extension(|| Shared::new(names.clone(), DiscoveryOptions::new())) }
    }

    /// Discovery in this namespace, with these options if this is the first handle.
    ///
    /// Other options than those [in force](Self::options) are left out, with a warning to `tracing`.
    pub fn with_options(names: &ServiceRegistry, options: DiscoveryOptions) -> Self {
        let discovery = Self { shared: names.extension(|| Shared::new(names.clone(), options.clone())) };
        if *discovery.options() != options {
            let namespace = names.namespace();
            tracing::warn!(%namespace, "discovery runs with other options already; those of a later handle are left out");
        }
        discovery
    }

    /// The options in force: those of the first handle of the namespace.
    pub fn options(&self) -> &DiscoveryOptions {
        &self.shared.options
    }

    /// The load of an instance: its calls by all selectors of the namespace. `None` if it is gone.
    pub fn load(&self, name: &InstanceName) -> Option<LoadReading> {
        let (calls, service) = self.shared.calls(&self.instance(name)?)?;
        Some(calls.load.reading(&service.rules, Instant::now()))
    }

    // ---- registering ----

    /// Describes the instance that is registered next, and reserves a place for it among the limited number of instances.
    ///
    /// # Errors
    /// [`DiscoveryError::TooManyInstances`], [`DiscoveryError::NamespaceFull`]; [`DiscoveryError::Field`] if it exceeds a
    /// limit that is set for the namespace; [`DiscoveryError::Metadata`].
    pub fn describe(&self, instance: &Instance) -> Result<InstanceRegistration, DiscoveryError> {
        self.shared.options.check(instance)?;
        let (name, metadata) = (instance.name(), instance.to_metadata()?);
        let place = Place::reserve(&self.shared, name).map_err(|reached| self.limit_reached(name, reached))?;
        Ok(InstanceRegistration::new(name.clone(), self.shared.names.with_metadata(metadata), place))
    }

    fn limit_reached(&self, name: &InstanceName, reached: LimitReached) -> DiscoveryError {
        let (name, limits) = (name.clone(), self.shared.options.places);
        match reached {
            LimitReached::Service => DiscoveryError::TooManyInstances { name, limit: limits.service },
            LimitReached::Namespace => DiscoveryError::NamespaceFull {
                namespace: self.shared.names.namespace(),
                name,
                limit: limits.namespace,
            },
        }
    }

    /// The key under which an instance is registered.
    pub fn key<M>(name: &InstanceName) -> ServiceKey<M> {
        ServiceKey::from(name.registered().clone())
    }

    /// Spawns an actor as this instance; see [`ServiceRegistry::spawn`]. The instance ends with the actor.
    ///
    /// # Errors
    /// As [`describe`](Self::describe), and those of the registry.
    pub async fn spawn<A: Actor>(
        &self,
        instance: &Instance,
        actor: A,
        args: A::Arguments,
    ) -> Result<ActorRef<A::Msg>, DiscoveryError> {
        self.describe(instance)?.spawn(actor, args).await
    }

    /// Describes a child that registers itself as this instance at each start; see [`ServiceRegistry::child_spec`].
    ///
    /// # Errors
    /// As [`describe`](Self::describe).
    pub fn child_spec<A: Actor>(
        &self,
        instance: &Instance,
        start: impl Fn() -> (A, A::Arguments) + Send + Sync + 'static,
    ) -> Result<ChildSpec, DiscoveryError> {
        Ok(self.describe(instance)?.child_spec(start))
    }

    /// Registers an actor that was started elsewhere as this instance; see [`ServiceRegistry::register`].
    ///
    /// # Errors
    /// As [`describe`](Self::describe), and those of the registry.
    pub async fn register<M: Message>(&self, instance: &Instance, actor: &ActorRef<M>) -> Result<(), DiscoveryError> {
        self.describe(instance)?.register(actor).await
    }

    /// Announces an instance outside of this process, for as long as its lease is renewed: at least once within the time to
    /// live of its terms. A duration is the terms with that time to live and the [defaults](LeaseTerms).
    ///
    /// ```
    /// # use foundation_discovery::{Discovery, Instance};
    /// # use std::time::Duration;
    /// # async fn example(discovery: Discovery) -> Result<(), Box<dyn std::error::Error>> {
    /// let instance = Instance::builder("orders", "remote-1").endpoint("grpc://10.0.0.7:8080").build()?;
    /// let lease = discovery.announce(&instance, Duration::from_secs(10)).await?;
    /// lease.renew()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DiscoveryError::NoEndpoint`], and as [`spawn`](Self::spawn).
    pub async fn announce(
        &self,
        instance: &Instance,
        terms: impl Into<LeaseTerms>,
    ) -> Result<InstanceLease, DiscoveryError> {
        if instance.endpoint().is_none() {
            return Err(DiscoveryError::NoEndpoint { name: instance.name().clone() });
        }
        let (name, cell) = (instance.name().clone(), Arc::new(LeaseCell::new(terms.into(), Instant::now())));
        let keeper = Keeper { shared: Arc::clone(&self.shared), name: name.clone(), cell: Arc::clone(&cell) };
        let keeper = self.spawn(instance, keeper, ()).await?;
        // What it found before the instance was registered could not be shown.
        cell.renewals.wake();
        Ok(InstanceLease::new(Arc::clone(&self.shared), name, keeper, cell))
    }

    /// Removes an instance; its actor lives on. True if there was one: a name that is no instance keeps its actor, and so does
    /// one that another actor has taken meanwhile.
    pub fn unregister(&self, name: &InstanceName) -> bool {
        let instance = self.instance(name);
        let key = Self::key::<()>(name);
        let removed = instance.is_some_and(|instance| self.shared.names.unregister_from(&key, instance.actor));
        // A lease of it is lost as soon as this has been noted.
        self.shared.refresh(Instant::now());
        removed
    }

    /// Changes what an instance says of itself. Only its owner may: the actor that has the name passes its own reference.
    ///
    /// `change` may run more than once, if two updates race. Returns the instance in force. A restarted child begins
    /// with the instance of its specification.
    ///
    /// # Errors
    /// [`DiscoveryError::Field`] if the new one is not valid, [`DiscoveryError::OtherName`] if it is another instance: then
    /// nothing is changed.
    /// [`DiscoveryError::Registry`] if no actor has the name, or another one; [`DiscoveryError::NoInstance`],
    /// [`DiscoveryError::Read`] if its metadata is not that of an instance.
    pub fn update(
        &self,
        name: &InstanceName,
        owner: &ActorCell,
        change: impl FnMut(InstanceBuilder) -> InstanceBuilder,
    ) -> Result<Instance, DiscoveryError> {
        self.shared.update(name, owner, change)
    }

    // ---- draining ----

    /// Takes an instance out of rotation, and returns when no call to it is in flight, or after this time: the report says
    /// how many calls are left.
    ///
    /// The calls are those through [selectors](Self::selector) of this namespace. The instance is draining until it is
    /// [resumed](Self::resume), also if this future is dropped; its next incarnation is not.
    ///
    /// ```
    /// # use foundation_discovery::{Discovery, DiscoveryError, InstanceName};
    /// # use std::time::Duration;
    /// # async fn example(discovery: Discovery, name: InstanceName) -> Result<(), DiscoveryError> {
    /// let drained = discovery.drain(&name, Duration::from_secs(30)).await?;
    /// if !drained.is_complete() {
    ///     discovery.resume(&name)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DiscoveryError::NotFound`], [`DiscoveryError::NotRunning`].
    pub async fn drain(&self, name: &InstanceName, within: Duration) -> Result<Drained, DiscoveryError> {
        loop {
            let record = self.instance(name).ok_or_else(|| self.not_found(name))?;
            // If this incarnation is gone by now, the next one is drained, unless there is none.
            if let Some(drained) = drain(&self.shared, &record, within).await {
                return Ok(drained);
            }
        }
    }

    /// Returns an instance to rotation that is being [drained](Self::drain), or was. One that says [of
    /// itself](InstanceBuilder::draining) that it is draining stays so.
    ///
    /// # Errors
    /// [`DiscoveryError::NotFound`], [`DiscoveryError::NotRunning`].
    pub fn resume(&self, name: &InstanceName) -> Result<InstanceHealth, DiscoveryError> {
        let record = self.instance(name);
        record.and_then(|record| resume(&self.shared, &record)).ok_or_else(|| self.not_found(name))?;
        Ok(self.instance(name).ok_or_else(|| self.not_found(name))?.health)
    }

    // ---- finding ----

    /// The services that have an instance, sorted.
    pub fn services(&self) -> Vec<ServiceName> {
        self.shared.read(|catalog| catalog.services().cloned().collect())
    }

    /// All services in short, sorted by name. Cost: linear in the instances.
    pub fn summaries(&self) -> Vec<ServiceSummary> {
        self.shared.read(|catalog| catalog.summaries().collect())
    }

    /// A service in short: its health, versions, capabilities and zones. Cost: linear in its instances.
    ///
    /// # Errors
    /// [`FindError::NoService`] names services of similar names.
    pub fn service(&self, service: &ServiceName) -> Result<ServiceSummary, FindError> {
        self.shared.read(|catalog| catalog.summary(service))
    }

    /// The instances that meet all criteria, sorted by service and id: healthy or not.
    ///
    /// # Errors
    /// [`FindError`] says why there is none, and what comes near.
    pub fn instances(&self, criteria: &Criteria) -> Result<Vec<InstanceRecord>, FindError> {
        self.shared.select(criteria)
    }

    /// One instance. `None` if there is none of this name.
    pub fn instance(&self, name: &InstanceName) -> Option<InstanceRecord> {
        self.shared.read(|catalog| catalog.get(name).cloned())
    }

    /// The instances that can do this, of all services.
    pub fn providers(&self, needed: &Capability) -> Vec<InstanceRecord> {
        self.shared.read(|catalog| catalog.providers(needed).cloned().collect())
    }

    /// All of it as a value: a copy of the catalog. Cost: linear in the instances.
    pub fn catalog(&self) -> Catalog {
        self.shared.read(Catalog::clone)
    }

    /// Watches the instances that meet these criteria: those that are there, and then each change.
    pub fn watch(&self, criteria: Criteria) -> InstanceWatch {
        InstanceWatch::new(Arc::clone(&self.shared), criteria)
    }

    /// The condition of a service, with counts and reasons. Without an instance it is down.
    pub fn service_health(&self, service: &ServiceName) -> ServiceHealth {
        self.shared.service_health(service)
    }

    pub(super) fn not_found(&self, name: &InstanceName) -> DiscoveryError {
        if self.shared.names.has_ended() {
            return DiscoveryError::NotRunning { namespace: self.shared.names.namespace() };
        }
        let others = self.shared.read(|catalog| Box::new(OtherInstances::of(catalog, name)));
        DiscoveryError::NotFound { namespace: self.shared.names.namespace(), name: name.clone(), others }
    }
}

/// What the service of the namespace needs.
impl Discovery {
    /// Returns when discovery is used in this namespace.
    pub(crate) async fn first_use(&self) {
        self.shared.first_use().await;
    }

    /// The names of its namespace.
    pub fn registry(&self) -> &ServiceRegistry {
        &self.shared.names
    }

    pub(crate) fn notices(&self) -> NoticeReader {
        self.shared.notices.reader()
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Discovery({})", self.shared.names.namespace())
    }
}

#[cfg(test)]
mod tests {
    use foundation_kernel::names::{Namespace, ProcessRegistry};

    use super::*;

    #[tokio::test]
    async fn an_instance_that_has_come_meanwhile_is_not_named_beside_itself() {
        let registry = ProcessRegistry::start().await.unwrap();
        let discovery = Discovery::of(&registry.namespace(Namespace::test()).await.unwrap());
        let instance = |id| Instance::builder("orders", id).endpoint("http://10.0.0.7:80").build().unwrap();
        let ttl = Duration::from_secs(60);
        let _lease = discovery.announce(&instance("a"), ttl).await.unwrap();
        let missed = |id| discovery.not_found(instance(id).name()).to_string();
        assert!(missed("a").ends_with("; orders has no instance"), "{}", missed("a"));
        assert!(missed("b").ends_with("; orders has a"), "{}", missed("b"));
        registry.shutdown().await;
    }
}
