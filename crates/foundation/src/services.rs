//! The services of each namespace.

use std::sync::{Arc, Weak};
use std::time::Duration;

use foundation_kernel::names::{
    Group, GroupKey, Namespace, ProcessRegistry, RegistryError, ServiceKey, ServiceName, ServiceRegistry, Via,
};
use foundation_kernel::ractor::{Actor, ActorCell, ActorRef, Message};
use foundation_kernel::supervision::{
    ChildSpec, DynamicSupervisor, HealthLimits, Partition, PartitionSupervisor, Supervisor, SupervisorKey,
    SupervisorKind, TaskSupervisor, TreeWatch, Verdict,
};

use super::checks::Checks;
use super::health::{NamespaceHealth, ServiceHealth};
use foundation_config_server::{ConfigServer, ConfigTree};
use foundation_events::EventStore;
use foundation_telemetry::Telemetry;

/// One namespace with its services: what an application's code, and each test, works with.
///
/// It has the daily operations on names itself; all of them are those of its [`registry`](Self::registry). Cheap to
/// clone; give it to actors at spawn, so that they can reach their namespace.
#[derive(Clone, Debug)]
pub struct Services {
    registry: ServiceRegistry,
    config: ConfigServer,
    events: EventStore,
    telemetry: Telemetry,
    #[cfg(feature = "discovery")]
    discovery: foundation_discovery::Discovery,
    /// Made when it is used first: most namespaces have no managed services.
    #[cfg(feature = "managed")]
    managed: std::sync::OnceLock<foundation_managed::Managed>,
    limits: Arc<HealthLimits>,
    /// They belong to the namespace and end with it, whatever handles there still are.
    checks: Weak<Checks>,
}

impl Services {
    pub(super) fn of(registry: &ServiceRegistry, config: &Arc<ConfigTree>) -> Self {
        Self {
            registry: registry.clone(),
            config: ConfigServer::new(registry, config),
            events: EventStore::of(registry),
            telemetry: Telemetry::of(registry),
            #[cfg(feature = "discovery")]
            discovery: foundation_discovery::Discovery::of(registry),
            #[cfg(feature = "managed")]
            managed: std::sync::OnceLock::new(),
            limits: registry.extension(HealthLimits::default),
            checks: Arc::downgrade(&registry.extension(Checks::default)),
        }
    }

    pub(super) async fn open(
        registry: &ProcessRegistry,
        config: &Arc<ConfigTree>,
        namespace: Namespace,
    ) -> Result<Self, RegistryError> {
        Ok(Self::of(&registry.namespace(namespace).await?, config))
    }

    /// The names of this namespace: watches, metadata, hand-overs, predicates, measures, the tree, and the operations
    /// that are here, too.
    pub fn registry(&self) -> &ServiceRegistry {
        &self.registry
    }

    /// Which namespace this is.
    pub fn namespace(&self) -> Namespace {
        self.registry.namespace()
    }

    // ---- daily operations on names: the registry has them all ----

    /// A handle that finds the actor at each use; see [`ServiceRegistry::via`].
    #[inline]
    pub fn via<M: Message>(&self, key: &ServiceKey<M>) -> Via<M> {
        self.registry.via(key)
    }

    /// The live actor of this name; see [`ServiceRegistry::lookup`].
    ///
    /// # Errors
    /// Those of [`ServiceRegistry::lookup`].
    #[inline]
    pub fn lookup<M: Message>(&self, key: &ServiceKey<M>) -> Result<ActorRef<M>, RegistryError> {
        self.registry.lookup(key)
    }

    /// Waits until a live actor has this name; see [`ServiceRegistry::wait_for_service`].
    ///
    /// # Errors
    /// Those of [`ServiceRegistry::wait_for_service`].
    pub async fn wait_for_service<M: Message>(
        &self,
        key: &ServiceKey<M>,
        limit: impl Into<Option<Duration>>,
    ) -> Result<ActorRef<M>, RegistryError> {
        self.registry.wait_for_service(key, limit).await
    }

    /// Spawns an actor under this name, which is never restarted; see [`ServiceRegistry::spawn`].
    ///
    /// # Errors
    /// Those of [`ServiceRegistry::spawn`].
    pub async fn spawn<A: Actor>(
        &self,
        key: &ServiceKey<A::Msg>,
        actor: A,
        args: A::Arguments,
    ) -> Result<ActorRef<A::Msg>, RegistryError> {
        self.registry.spawn(key, actor, args).await
    }

    /// Describes a child that has this name at each of its starts; see [`ServiceRegistry::child_spec`].
    pub fn child_spec<A: Actor>(
        &self,
        key: &ServiceKey<A::Msg>,
        start: impl Fn() -> (A, A::Arguments) + Send + Sync + 'static,
    ) -> ChildSpec {
        self.registry.child_spec(key, start)
    }

    /// Starts a child of the application, which is restarted by its rule; see [`ServiceRegistry::supervise`].
    ///
    /// # Errors
    /// Those of [`ServiceRegistry::supervise`].
    pub async fn supervise(&self, spec: ChildSpec) -> Result<Option<ActorCell>, RegistryError> {
        self.registry.supervise(spec).await
    }

    /// The supervisor of the application: the embedder's children.
    ///
    /// # Errors
    /// Those of [`ServiceRegistry::application`].
    pub fn application(&self) -> Result<Supervisor, RegistryError> {
        self.registry.application()
    }

    /// Registers an actor that was started elsewhere; see [`ServiceRegistry::register`].
    ///
    /// # Errors
    /// Those of [`ServiceRegistry::register`].
    pub async fn register<M: Message>(&self, key: &ServiceKey<M>, actor: &ActorRef<M>) -> Result<(), RegistryError> {
        self.registry.register(key, actor).await
    }

    /// A group of actors; see [`ServiceRegistry::group`].
    pub fn group<M: Message, V: Send + Sync + 'static>(&self, key: &GroupKey<M, V>) -> Group<M, V> {
        self.registry.group(key)
    }

    /// Runs a future while no other caller runs one under the same name; see [`ServiceRegistry::lock`].
    ///
    /// # Errors
    /// Those of [`ServiceRegistry::lock`].
    pub async fn lock<T>(&self, name: &ServiceName, future: impl Future<Output = T>) -> Result<T, RegistryError> {
        self.registry.lock(name, future).await
    }

    /// Describes a supervisor under a name; see [`ServiceRegistry::supervisor_spec`].
    pub fn supervisor_spec<S: SupervisorKind>(&self, key: &SupervisorKey<S>, spec: S::Spec) -> ChildSpec {
        self.registry.supervisor_spec(key, spec)
    }

    /// A handle on the supervisor of this name; see [`ServiceRegistry::supervisor`].
    pub fn supervisor(&self, key: &SupervisorKey<Supervisor>) -> Supervisor {
        self.registry.supervisor(key)
    }

    /// A handle on the dynamic supervisor of this name; see [`ServiceRegistry::supervisor`].
    pub fn dynamic(&self, key: &SupervisorKey<DynamicSupervisor>) -> DynamicSupervisor {
        self.registry.dynamic(key)
    }

    /// A handle on the supervisor of tasks of this name; see [`ServiceRegistry::supervisor`].
    pub fn tasks(&self, key: &SupervisorKey<TaskSupervisor>) -> TaskSupervisor {
        self.registry.tasks(key)
    }

    /// A handle on the partitions of this name; see [`ServiceRegistry::supervisor`].
    pub fn partitions<P: Partition>(&self, key: &SupervisorKey<PartitionSupervisor<P>>) -> PartitionSupervisor<P> {
        self.registry.partitions(key)
    }

    /// Follows the tree of this namespace; see [`ServiceRegistry::watch_tree`].
    pub fn watch_tree(&self) -> TreeWatch {
        self.registry.watch_tree()
    }

    // ---- services ----

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

    /// Its instances of services: registering, finding, watching and choosing them.
    ///
    /// ```
    /// use foundation::Foundation;
    /// use foundation::discovery::{Criteria, Instance};
    /// use foundation::names::ServiceName;
    ///
    /// const ORDERS: ServiceName = ServiceName::from_static("orders");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let foundation = Foundation::builder().start().await?;
    /// let discovery = foundation.production().discovery();
    /// let instance = Instance::builder("orders", "remote-1").endpoint("grpc://10.0.0.7:8080").build()?;
    /// let lease = discovery.announce(&instance, std::time::Duration::from_secs(10)).await?;
    /// assert_eq!(discovery.instances(&Criteria::service(&ORDERS))?.len(), 1);
    /// lease.withdraw().await;
    /// foundation.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "discovery")]
    pub fn discovery(&self) -> &foundation_discovery::Discovery {
        &self.discovery
    }

    /// Its managed services. They are there if the builder has a [kind](crate::FoundationBuilder::kind), or has
    /// [`managed`](crate::FoundationBuilder::managed): otherwise each request is a
    /// [`NoManager`](crate::managed::ManagedError::NoManager), and the namespace has no part of them.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use foundation::config::garde::{self, Validate};
    /// use foundation::managed::{ServiceContext, ServiceKind, ServiceStatus};
    /// use foundation::names::ServiceName;
    /// use foundation::supervision::{BoxError, ChildSpec};
    /// use foundation::Foundation;
    /// use serde::{Deserialize, Serialize};
    /// # use foundation::ractor::{self, Actor, ActorProcessingErr, ActorRef};
    /// # struct Mailer;
    /// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
    /// # impl Actor for Mailer {
    /// #     type Msg = u64; type State = (); type Arguments = String;
    /// #     async fn pre_start(&self, _: ActorRef<u64>, _: String) -> Result<(), ActorProcessingErr> { Ok(()) }
    /// # }
    ///
    /// #[derive(Serialize, Deserialize, Validate)]
    /// struct Mail {
    ///     #[garde(length(min = 1))]
    ///     relay: String,
    /// }
    ///
    /// struct Mailers;
    ///
    /// impl ServiceKind for Mailers {
    ///     type Config = Mail;
    ///     const NAME: &'static str = "mailers";
    ///     fn child(&self, context: &ServiceContext, mail: Arc<Mail>) -> Result<ChildSpec, BoxError> {
    ///         context.child_spec(move || (Mailer, mail.relay.clone()))
    ///     }
    /// }
    ///
    /// const MAIL: ServiceName = ServiceName::from_static("mail");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let foundation = Foundation::builder().kind(Mailers).start().await?;
    /// let managed = foundation.production().managed();
    /// managed.declare::<Mailers>(&MAIL, &Mail { relay: "relay.example".to_owned() }).await?;
    /// let started = managed.start(&MAIL).await?;
    /// assert_eq!(started.status(), ServiceStatus::Healthy);
    /// foundation.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "managed")]
    pub fn managed(&self) -> &foundation_managed::Managed {
        self.managed.get_or_init(|| foundation_managed::Managed::of(&self.registry))
    }

    /// The health of everything that counts here: the foundation's own services, the application's supervisor, the
    /// children that are [declared to count](ChildSpec::in_health), each service that has instances, as
    /// `discovery/orders`, and [checks](Self::check). A child
    /// that restarts has a [grace](HealthLimits::grace), counted from when it went down, however often the health is
    /// requested.
    ///
    /// Cost: a request to each supervisor of the namespace, and a task for each check, all together; within a few
    /// seconds whatever happens, see [`HealthLimits`].
    pub async fn health(&self) -> NamespaceHealth {
        let (children, checks) = futures::join!(self.registry.health(&self.limits), self.run_checks());
        let (mut services, mut needs) = (Vec::new(), Vec::new());
        for child in children {
            services.push(ServiceHealth::new(child.path, child.health));
            needs.push(child.needs);
        }
        #[cfg(feature = "discovery")]
        services.extend(self.discovery.health().iter().map(ServiceHealth::of_instances));
        services.extend(checks);
        needs.resize(services.len(), Vec::new());
        NamespaceHealth::new(self.registry.namespace(), services, &needs, &self.limits)
    }

    async fn run_checks(&self) -> Vec<ServiceHealth> {
        match self.checks.upgrade() {
            Some(checks) => checks.run(&self.limits).await,
            None => Vec::new(),
        }
    }

    /// Adds a check to the health of this namespace, of something that is not a child of it; it replaces one of the
    /// same name. For the health of a child see [`ChildSpec::health_check`].
    ///
    /// Each request for the health runs it on a task of its own, for [so long](HealthLimits::answer) at most; a panic
    /// in it is a finding, too. It is kept until it is [dropped](Self::drop_check) or the namespace ends.
    ///
    /// ```
    /// use foundation::Foundation;
    /// use foundation::health::Condition;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let foundation = Foundation::builder().start().await?;
    /// foundation.production().check("licence", || async { Err::<(), _>("it ends tomorrow") });
    /// let health = foundation.health().await;
    /// assert_eq!(health.condition(), Condition::Degraded);
    /// assert!(health.to_string().ends_with("licence        failed: it ends tomorrow"));
    /// foundation.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn check<F, Fut>(&self, name: impl Into<String>, check: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Verdict> + Send + 'static,
    {
        if let Some(checks) = self.checks.upgrade() {
            checks.add(name.into(), check);
        }
    }

    /// Drops a [check](Self::check); false if there was none of this name.
    pub fn drop_check(&self, name: &str) -> bool {
        self.checks.upgrade().is_some_and(|checks| checks.remove(name))
    }
}
