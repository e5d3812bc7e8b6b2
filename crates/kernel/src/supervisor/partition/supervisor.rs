//! The supervisor of partitions: its specification, and the handle on the set.
//!
//! Both are here since they are two views of one set of partitions, which exists before its supervisor does.

mod tasks;

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt, ready};
use parking_lot::RwLock;
use ractor::{Actor, ActorCell, ActorRef, Message};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::PartitionError;
use super::key::partition_of;
use super::sealed::SlotHolder;
use super::{Partition, PartitionSlots, SlotLease, is_live};
use crate::containment::{drop_contained, waking_contained};
use crate::health::{Health, HealthRule};
use crate::supervisor::child_id::ChildId;
use crate::supervisor::child_rules::{ChildKind, Restart, Shutdown};
use crate::supervisor::client::{Supervisor, sealed::Kind};
use crate::supervisor::dynamic::{DynamicSupervisor, DynamicSupervisorSpec};
use crate::supervisor::error::{ChildError, SpecError, StartError};
use crate::supervisor::info::{ChildCount, ChildInfo};
use crate::supervisor::named::{Find, NameHolder};
use crate::supervisor::report::Reporter;
use crate::supervisor::restart::{RestartIntensity, Strategy};
use crate::supervisor::spec::{ChildSpec, StartContext, SupervisorSpec};
use crate::supervisor::started::Started;

/// The most partitions; more are a mistake.
const MAX_PARTITIONS: usize = 1 << 16;
/// The most partitions that are down and named.
const MAX_NAMED: usize = 8;

type StartPartition<P> =
    dyn Fn(usize, StartContext, SlotLease<P>) -> BoxFuture<'static, Result<Started, StartError>> + Send + Sync;

/// The kind of the partitions, their number, and their rules. The partitions are restarted one for one.
///
/// A clone describes the same partitions: it cannot be started beside the other.
#[derive(Clone)]
pub struct PartitionSupervisorSpec<P: Partition> {
    partitions: Arc<Partitions<P>>,
    start: Arc<StartPartition<P>>,
    kind: ChildKind,
    restart: Restart,
    shutdown: Option<Shutdown>,
    intensity: RestartIntensity,
    reporter: Option<Arc<dyn Reporter>>,
}

impl<P: Partition> fmt::Debug for PartitionSupervisorSpec<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionSupervisorSpec")
            .field("kind", &self.kind)
            .field("restart", &self.restart)
            .field("intensity", &self.intensity)
            .finish_non_exhaustive()
    }
}

impl<M: Message> PartitionSupervisorSpec<ActorRef<M>> {
    /// Partitions that are actors, this many. `start` receives the number of its partition, from 0, and gives the actor
    /// and its arguments, anew for each start.
    ///
    /// # Errors
    /// [`SpecError::Partitions`] for none, and for more than 65,536.
    pub fn workers<A: Actor<Msg = M>>(
        partitions: usize,
        start: impl Fn(usize) -> (A, A::Arguments) + Send + Sync + 'static,
    ) -> Result<Self, SpecError> {
        let start = Arc::new(start);
        Self::new(partitions, ChildKind::Worker, move |partition, context, lease| {
            let start = Arc::clone(&start);
            async move {
                let (actor, args) = start(partition);
                let started = context.spawn_holding(actor, args, lease.clone(), ()).await?;
                lease.fill(started.actor().clone().into());
                Ok(started)
            }
            .boxed()
        })
    }
}

impl PartitionSupervisorSpec<DynamicSupervisor> {
    /// Partitions that are dynamic supervisors, which spreads the start of children over several actors.
    ///
    /// # Errors
    /// As [`workers`](PartitionSupervisorSpec::workers).
    pub fn dynamic_supervisors(
        partitions: usize,
        spec: impl Fn(usize) -> DynamicSupervisorSpec + Send + Sync + 'static,
    ) -> Result<Self, SpecError> {
        Self::supervisors(partitions, spec)
    }
}

impl<P: Partition + From<DynamicSupervisor>> PartitionSupervisorSpec<P> {
    fn supervisors(
        partitions: usize,
        spec: impl Fn(usize) -> DynamicSupervisorSpec + Send + Sync + 'static,
    ) -> Result<Self, SpecError> {
        let spec = Arc::new(spec);
        Self::new(partitions, ChildKind::Supervisor, move |partition, context, lease| {
            let spec = Arc::clone(&spec);
            async move {
                let spec = spec(partition).into_spec().holding(Arc::new(lease.clone()));
                let (started, supervisor, _) = context.spawn_with_direct_spawner(spec).await?;
                lease.fill(DynamicSupervisor::from_supervisor(supervisor).into());
                Ok(started)
            }
            .boxed()
        })
    }
}

impl<P: Partition> PartitionSupervisorSpec<P> {
    fn new<F>(partitions: usize, kind: ChildKind, start: F) -> Result<Self, SpecError>
    where
        F: Fn(usize, StartContext, SlotLease<P>) -> BoxFuture<'static, Result<Started, StartError>>
            + Send
            + Sync
            + 'static,
    {
        // Before anything is allocated for each of them.
        let refused = SpecError::Partitions { asked: partitions, max: MAX_PARTITIONS };
        let partitions = NonZeroUsize::new(partitions).filter(|asked| asked.get() <= MAX_PARTITIONS).ok_or(refused)?;
        Ok(Self {
            partitions: Arc::new(Partitions::new(partitions)),
            start: Arc::new(start),
            kind,
            restart: Restart::default(),
            shutdown: None,
            intensity: RestartIntensity::default(),
            reporter: None,
        })
    }

    /// When a partition is started again; by default always. A temporary one that has ended, or was removed by a
    /// resize, comes back only with its supervisor.
    pub fn restart(self, restart: Restart) -> Self {
        Self { restart, ..self }
    }

    /// How a partition is asked to stop; by default as any child of its kind.
    pub fn shutdown(self, shutdown: Shutdown) -> Self {
        Self { shutdown: Some(shutdown), ..self }
    }

    /// The restart intensity, of all partitions together.
    pub fn intensity(self, intensity: RestartIntensity) -> Self {
        Self { intensity, ..self }
    }

    /// The reporter of the partitions' events; as [`SupervisorSpec::reporter`].
    pub fn reporter(self, reporter: impl Reporter) -> Self {
        Self { reporter: Some(Arc::new(reporter)), ..self }
    }

    /// A handle on the partitions of this specification, to be had before they are started.
    pub fn handle(&self) -> PartitionSupervisor<P> {
        PartitionSupervisor(Source::Specification(Arc::clone(&self.partitions)))
    }

    fn supervisor_spec(&self) -> SupervisorSpec {
        let children = (0..self.partitions.slots.len()).map(|partition| self.child(partition));
        let mut spec = SupervisorSpec::new(Strategy::OneForOne).intensity(self.intensity).children(children);
        spec.reporter.clone_from(&self.reporter);
        spec
    }

    fn child(&self, partition: usize) -> ChildSpec {
        let (partitions, start) = (Arc::clone(&self.partitions), Arc::clone(&self.start));
        let start = move |context| {
            let taken = partitions.slots.take(partition).map(|lease| start(partition, context, lease));
            async move {
                match taken {
                    Some(started) => started.await,
                    None => Err(StartError::failed(format!(
                        "partition {partition} runs elsewhere: a specification of partitions is started once at a time"
                    ))),
                }
            }
        };
        let id = partition.to_string();
        let spec = ChildSpec::from_fn(id, self.kind, start).restart(self.restart);
        match self.shutdown {
            Some(rule) => spec.shutdown(rule),
            None => spec,
        }
    }
}

/// The state shared by the handles on one set of partitions.
pub struct Partitions<P> {
    slots: Arc<PartitionSlots<P>>,
    /// The supervisor that runs them now, or did last.
    supervisor: RwLock<Option<Supervisor>>,
    /// Held during a resize.
    resizing: Mutex<()>,
}

impl<P: Partition> Partitions<P> {
    fn new(partitions: NonZeroUsize) -> Self {
        Self {
            slots: Arc::new(PartitionSlots::new(partitions)),
            supervisor: RwLock::default(),
            resizing: Mutex::default(),
        }
    }

    fn of_key(&self, key: &(impl Hash + ?Sized)) -> Result<usize, PartitionError> {
        let started = self.slots.len();
        let open = NonZeroUsize::new(self.slots.open()).ok_or(PartitionError::NoPartitions { started })?;
        Ok(partition_of(key, open))
    }

    fn supervisor(&self) -> Result<Supervisor, ChildError> {
        let supervisor = self.supervisor.read().clone();
        supervisor.ok_or_else(|| ChildError::NotRunning { supervisor: "of partitions that were never started".into() })
    }

    /// Notes a supervisor that has started all of them.
    fn supervised_by(&self, supervisor: Supervisor) {
        self.slots.set_open(self.slots.len());
        let before = self.supervisor.write().replace(supervisor);
        // Not under the lock: the last reference to a supervisor drops its unread requests.
        drop_contained("a former supervisor of partitions", before);
    }
}

impl<P: Partition> fmt::Debug for Partitions<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionSupervisor({} of {})", self.slots.open(), self.slots.len())
    }
}

impl<M: Message> SlotHolder for ActorRef<M> {
    fn is_live(&self) -> bool {
        is_live(self)
    }
}

impl SlotHolder for DynamicSupervisor {
    fn is_live(&self) -> bool {
        self.as_supervisor().is_live()
    }
}

/// A supervisor of many instances of one child, each a partition, with the routing from a key to a partition. Elixir's
/// `PartitionSupervisor`.
///
/// ```
/// use foundation_kernel::supervision::{PartitionSupervisor, PartitionSupervisorSpec};
/// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
/// # struct Shard;
/// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
/// # impl Actor for Shard {
/// #     type Msg = String; type State = (); type Arguments = usize;
/// #     async fn pre_start(&self, _: ActorRef<String>, _: usize) -> Result<(), ActorProcessingErr> { Ok(()) }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let spec = PartitionSupervisorSpec::workers(4, |partition| (Shard, partition))?;
/// let shards = PartitionSupervisor::start("shards", spec).await?;
/// shards.lookup("user:17")?.cast("hello".to_owned())?;
/// assert_eq!(shards.partition_of(&6)?, 2);
/// shards.shutdown().await;
/// # Ok(())
/// # }
/// ```
///
/// The handle is for the specification, not for one life of its supervisor: it survives every restart. Within a tree,
/// take it from [`PartitionSupervisorSpec::handle`] before the specification goes into
/// [`ChildSpec::partition_supervisor`](crate::supervision::ChildSpec::partition_supervisor). Of one that has a
/// [name](crate::names::ServiceRegistry::partitions) a handle can be had without the specification.
///
/// Cost: a lookup asks no actor. It hashes the key, locks the slot of its one partition for reading and clones the
/// reference.
pub struct PartitionSupervisor<P>(Source<P>);

enum Source<P> {
    Specification(Arc<Partitions<P>>),
    Name(Arc<dyn Find<Arc<Partitions<P>>>>),
}

impl<P: Partition> PartitionSupervisor<P> {
    /// Starts one at the top of a tree of its own.
    ///
    /// # Errors
    /// [`StartError::Child`] with the cause of the partition that did not start; the others are gone again.
    pub async fn start(name: impl AsRef<str>, spec: PartitionSupervisorSpec<P>) -> Result<Self, StartError> {
        let supervisor = Supervisor::start(name, spec.supervisor_spec()).await?;
        spec.partitions.supervised_by(supervisor);
        Ok(spec.handle())
    }

    fn live(&self) -> Result<Cow<'_, Arc<Partitions<P>>>, ChildError> {
        match &self.0 {
            Source::Specification(partitions) => Ok(Cow::Borrowed(partitions)),
            Source::Name(name) => name.live().map(Cow::Owned),
        }
    }

    /// The same; waits within a limit until there is one of its name.
    async fn wait_for_live(&self) -> Result<Arc<Partitions<P>>, ChildError> {
        match &self.0 {
            Source::Specification(partitions) => Ok(Arc::clone(partitions)),
            Source::Name(name) => name.wait_for_live().await,
        }
    }

    /// How many partitions keys are routed to: none while no partition supervisor has the name of the handle.
    pub fn partitions(&self) -> usize {
        self.live().map_or(0, |partitions| partitions.slots.open())
    }

    /// The partition of a key: an integer's absolute value modulo the number of partitions, as in Elixir, and of
    /// anything else its hash. As long as that number is the same, a key stays where it is, in each run of the program.
    ///
    /// # Errors
    /// [`PartitionError::NoPartitions`] after a resize to zero. Of a handle by name, [`PartitionError::Child`] with
    /// [`ChildError::Lookup`] while no partition supervisor has the name.
    pub fn partition_of(&self, key: &(impl Hash + ?Sized)) -> Result<usize, PartitionError> {
        self.live()?.of_key(key)
    }

    /// The current holder of the partition of this key.
    ///
    /// # Errors
    /// [`PartitionError::Down`] while it restarts or its supervisor does not run; otherwise as
    /// [`partition_of`](Self::partition_of).
    pub fn lookup(&self, key: &(impl Hash + ?Sized)) -> Result<P, PartitionError> {
        let partitions = self.live()?;
        partitions.slots.at(partitions.of_key(key)?)
    }

    /// The current holder of the partition of this number.
    ///
    /// # Errors
    /// [`PartitionError::NotFound`], [`PartitionError::Down`]; by name as [`partition_of`](Self::partition_of).
    pub fn at(&self, partition: usize) -> Result<P, PartitionError> {
        let slots = &self.live()?.slots;
        let partitions = slots.open();
        if partition >= partitions {
            return Err(PartitionError::NotFound { asked: partition, partitions });
        }
        slots.at(partition)
    }

    /// The current holders of all partitions, in order; partitions that are down are left out.
    pub fn running(&self) -> Vec<P> {
        (0..self.partitions()).filter_map(|partition| self.at(partition).ok()).collect()
    }

    /// Stops the partitions from this number on, or starts those before it again, up to the number at the start. Keys
    /// are routed anew; the state of a stopped partition is lost.
    ///
    /// Resizes run one after the other. One that is dropped half-way leaves nothing that the next one does not put
    /// right.
    ///
    /// # Errors
    /// [`PartitionError::TooMany`] before anything is changed; [`PartitionError::Child`] if the supervisor does not run,
    /// or a partition does not start: then there are as many as before.
    pub async fn resize(&self, partitions: usize) -> Result<(), PartitionError> {
        let found = self.wait_for_live().await?;
        let slots = &found.slots;
        if partitions > slots.len() {
            return Err(PartitionError::TooMany { asked: partitions, started: slots.len() });
        }
        let _turn = waking_contained(found.resizing.lock()).await;
        let supervisor = found.supervisor()?;
        // Routing to the partitions that are removed ends first.
        let before = slots.open();
        slots.set_open(before.min(partitions));
        stop_down_to(&supervisor, partitions, slots.len()).await?;
        if let Err(error) = start_up_to(&supervisor, partitions).await {
            stop_down_to(&supervisor, before, slots.len()).await?;
            return Err(error.into());
        }
        slots.set_open(partitions);
        Ok(())
    }

    /// The partitions as children, those that were resized away included, as stopped ones; the last one first.
    ///
    /// # Errors
    /// [`ChildError::NotRunning`].
    pub async fn which_children(&self) -> Result<Vec<ChildInfo>, ChildError> {
        self.wait_for_live().await?.supervisor()?.which_children().await
    }

    /// How many children there are, and how many of them run.
    ///
    /// # Errors
    /// [`ChildError::NotRunning`].
    pub async fn count_children(&self) -> Result<ChildCount, ChildError> {
        self.wait_for_live().await?.supervisor()?.count_children().await
    }

    /// Stops all partitions, the last one first, then their supervisor; returns when all are gone.
    pub async fn shutdown(&self) {
        let holder = match &self.0 {
            Source::Specification(partitions) => NameHolder::Begun(Arc::clone(partitions)),
            Source::Name(name) => name.holder(),
        };
        if let NameHolder::Begun(partitions) = holder
            && let Ok(supervisor) = partitions.supervisor()
        {
            supervisor.shutdown().await;
        }
    }

    /// The supervisor of the partitions, as it is now.
    ///
    /// # Errors
    /// [`ChildError::NotRunning`] if it has never been started. Of a handle by name, [`ChildError::Lookup`] while no
    /// partition supervisor has the name.
    pub fn supervisor(&self) -> Result<Supervisor, ChildError> {
        self.live()?.supervisor()
    }
}

async fn stop_down_to(supervisor: &Supervisor, wanted: usize, all: usize) -> Result<(), ChildError> {
    for partition in (wanted..all).rev() {
        match supervisor.terminate_child(partition.to_string()).await {
            // A temporary one that has ended has been removed.
            Ok(()) | Err(ChildError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn start_up_to(supervisor: &Supervisor, wanted: usize) -> Result<(), ChildError> {
    for partition in 0..wanted {
        start_again(supervisor, &partition.to_string()).await?;
    }
    Ok(())
}

/// Starts a partition that is stopped, or that a cancelled resize left on its way up or down.
async fn start_again(supervisor: &Supervisor, partition: &str) -> Result<(), ChildError> {
    loop {
        match supervisor.restart_child(partition).await {
            Ok(_) | Err(ChildError::Running { .. }) => return Ok(()),
            Err(ChildError::Restarting { .. }) => {}
            Err(error) => return Err(error),
        }
        if supervisor.which_child(partition).await?.backoff.is_some() {
            // It has failed, and its supervisor starts it when its delay is over.
            return Ok(());
        }
        // Returns when it is gone. If it was being started, its failure would not be reported here.
        supervisor.terminate_child(partition).await?;
    }
}

impl<P> Clone for PartitionSupervisor<P> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Source::Specification(partitions) => Source::Specification(Arc::clone(partitions)),
            Source::Name(name) => Source::Name(Arc::clone(name)),
        })
    }
}

impl<P: Partition> fmt::Debug for PartitionSupervisor<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Specification(it) => it.fmt(f),
            Source::Name(name) => write!(f, "PartitionSupervisor({})", name.name()),
        }
    }
}

impl<P: Partition> Kind for PartitionSupervisor<P> {
    type Spec = PartitionSupervisorSpec<P>;
    type Found = Arc<Partitions<P>>;

    fn child(id: &str, spec: PartitionSupervisorSpec<P>) -> (ChildSpec, Option<Arc<dyn Any + Send + Sync>>) {
        let partitions = Arc::clone(&spec.partitions);
        (ChildSpec::partition_supervisor(id, spec), Some(Arc::new(partitions)))
    }

    fn found(_: &ActorCell, value: &(dyn Any + Send + Sync)) -> Option<Arc<Partitions<P>>> {
        value.downcast_ref().cloned()
    }

    fn by_name(name: Arc<dyn Find<Arc<Partitions<P>>>>) -> Self {
        Self(Source::Name(name))
    }
}

/// The health of partitions of which these are down.
fn health_without(vacant: &[usize], open: usize) -> Health {
    let down = vacant.iter().take(MAX_NAMED).map(usize::to_string).collect::<Vec<_>>().join(", ");
    match vacant.len() {
        0 => Health::Healthy,
        down_all if down_all == open => Health::Down(format!("all of its {open} partitions are down")),
        few if few <= MAX_NAMED => Health::Degraded(format!("of its {open} partitions {down} are down")),
        many => Health::Degraded(format!("of its {open} partitions {many} are down: {down}, …")),
    }
}

// Here and not with the type, which knows nothing of the clients that are built on it.
impl ChildSpec {
    /// A partition supervisor as a child of another supervisor; its handle is
    /// [`PartitionSupervisorSpec::handle`]. After a restart it has as many partitions as at its first start.
    pub fn partition_supervisor<P: Partition>(id: impl Into<ChildId>, spec: PartitionSupervisorSpec<P>) -> Self {
        let partitions = Arc::clone(&spec.partitions);
        let check = move |_, grace| {
            let vacant = partitions.slots.vacant(grace, Instant::now());
            ready(health_without(&vacant, partitions.slots.open())).boxed()
        };
        let child = Self::from_fn(id, ChildKind::Supervisor, move |context| {
            let spec = spec.clone();
            async move {
                let (started, supervisor, _) = context.spawn_with_direct_spawner(spec.supervisor_spec()).await?;
                spec.partitions.supervised_by(supervisor);
                Ok::<_, StartError>(started)
            }
        });
        child.with_health(|rule| HealthRule { check: Some(Arc::new(check)), ..rule })
    }
}
