//! What a kind is given when it describes the child of a service.

use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::containment::waking_contained;
use foundation_kernel::names::{ServiceKey, ServiceName, ServiceRegistry};
use foundation_kernel::ractor::{Actor, ActorCell, ActorRef, Message};
use foundation_kernel::supervision::{BoxError, ChildSpec, Shutdown};
use futures::future::join_all;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;

use foundation_discovery::Discovery;
use foundation_discovery::InstanceCheck;
use foundation_discovery::{FieldError, Instance, InstanceName, InstanceRecord};

/// The id of the instance that a managed service has.
pub(crate) const MAIN: &str = "main";
/// The id of its successor, until that has the name.
const NEXT: &str = "next";
/// Why a successor that nothing waits for does not get the name.
const WITHDRAWN: &str = "its replacement was withdrawn";

/// Where a managed service is made: its namespace, its name, and what it says of itself.
///
/// A managed service `mail` is the service `mail` of discovery with one instance, `mail.main`, which is also the id of its
/// child. A successor is `mail.next` until it has passed its checks, out of rotation.
#[derive(Debug, Clone)]
pub struct ServiceContext {
    names: ServiceRegistry,
    discovery: Discovery,
    instance: Arc<Instance>,
    trial: Arc<Trial>,
    overlap: Duration,
}

impl ServiceContext {
    pub(crate) fn new(
        discovery: &Discovery,
        instance: Instance,
        checks: Vec<InstanceCheck>,
        times: Times,
        gate: Option<Gate>,
    ) -> Self {
        let instance = Arc::new(instance);
        let (of, within, gate) = (Arc::clone(&instance), times.ready, Mutex::new(gate));
        let trial = Trial { discovery: discovery.clone(), instance: of, checks, within, gate };
        let (discovery, names) = (discovery.clone(), discovery.registry().clone());
        Self { names, discovery, instance, trial: Arc::new(trial), overlap: times.overlap }
    }

    /// The namespace.
    pub fn names(&self) -> &ServiceRegistry {
        &self.names
    }

    /// Discovery in the namespace.
    pub fn discovery(&self) -> &Discovery {
        &self.discovery
    }

    /// The name of the managed service.
    pub fn service(&self) -> &ServiceName {
        self.instance.service()
    }

    /// What the service says of itself.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// The key under which its actor is registered.
    pub fn key<M>(&self) -> ServiceKey<M> {
        Discovery::key(self.instance.name())
    }

    /// Describes a child that registers itself as the instance of the service at each start; `start` gives the actor and
    /// its arguments anew each time.
    ///
    /// It is drained when it is stopped. Restart rule, backoff and shutdown rule can be set on what is returned; its
    /// restart intensity is the manager's.
    ///
    /// # Errors
    /// [`DiscoveryError`](foundation_discovery::DiscoveryError) if discovery refuses the instance.
    pub fn child_spec<A: Actor>(
        &self,
        start: impl Fn() -> (A, A::Arguments) + Send + Sync + 'static,
    ) -> Result<ChildSpec, BoxError> {
        let trial = Arc::clone(&self.trial);
        let registration = self.discovery.describe(&self.instance)?.hand_over_when(move |actor| {
            let trial = Arc::clone(&trial);
            async move { trial.pass::<A::Msg>(actor).await }
        });
        let spec = registration.spawn_within(self.trial.spawn_limit()).child_spec(start);
        Ok(spec.shutdown(Shutdown::Drain(self.overlap)).start_timeout(self.trial.start_limit()))
    }
}

/// How long the parts of a replacement may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Until the checks of a successor have succeeded.
    pub(crate) ready: Duration,
    /// Until an actor that is stopped has finished what it has.
    pub(crate) overlap: Duration,
}

/// Where a successor that has passed its checks waits until it is to have the name.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Notified when the checks are passed.
    pub(crate) passed: oneshot::Sender<()>,
    /// Sent to when it is to have the name; dropped if it is not to have it.
    pub(crate) open: oneshot::Receiver<()>,
}

/// What a successor has to pass before it gets the name.
#[derive(Debug)]
struct Trial {
    discovery: Discovery,
    instance: Arc<Instance>,
    checks: Vec<InstanceCheck>,
    within: Duration,
    /// Taken by the first successor.
    gate: Mutex<Option<Gate>>,
}

impl Trial {
    /// The limit of a start without its checks.
    fn spawn_limit(&self) -> Duration {
        self.within.saturating_mul(2)
    }

    /// The limit of a start with its checks. The wait at a gate is limited by the task that opens it.
    fn start_limit(&self) -> Option<Duration> {
        self.gate.lock().is_none().then(|| self.spawn_limit())
    }

    async fn pass<M: Message>(&self, actor: ActorCell) -> Result<(), BoxError> {
        let gate = self.gate.lock().take();
        let Some(Gate { mut passed, open }) = gate else { return self.checks::<M>(actor).await };
        tokio::select! {
            biased;
            // At once: the next successor needs the name under which this one is checked.
            () = waking_contained(passed.closed()) => return Err(WITHDRAWN.into()),
            checked = self.checks::<M>(actor) => checked?,
        }
        // A replacement that is not awaited any more has dropped the other end, too.
        let _ = passed.send(());
        waking_contained(open).await.map_err(|_| WITHDRAWN.into())
    }

    /// Runs the checks until each has succeeded once.
    async fn checks<M: Message>(&self, actor: ActorCell) -> Result<(), BoxError> {
        if self.checks.is_empty() {
            return Ok(());
        }
        let actor = ActorRef::<M>::from(actor);
        let instance = self.instance.to_builder().id(NEXT).draining(true).build()?;
        self.discovery.register(&instance, &actor).await?;
        let _registered = Registered { discovery: &self.discovery, name: instance.name() };
        let record = InstanceRecord::new(instance.clone(), actor.get_id());
        let checks = self.checks.iter().map(|check| self.discovery.await_success(&record, check));
        match timeout(self.within, join_all(checks)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("its checks have not all succeeded within {:?}", self.within).into()),
        }
    }
}

/// A successor under its own name, which it loses when this is dropped.
struct Registered<'a> {
    discovery: &'a Discovery,
    name: &'a InstanceName,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.discovery.unregister(self.name);
    }
}

/// The name of the instance of a managed service.
///
/// # Errors
/// [`FieldError`] if the name is too long.
pub(crate) fn instance_name(service: &ServiceName) -> Result<InstanceName, FieldError> {
    InstanceName::new(service, MAIN)
}
