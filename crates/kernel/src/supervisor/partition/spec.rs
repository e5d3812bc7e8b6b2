//! The specification of a partition supervisor.

use std::num::NonZeroUsize;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt, ready};
use ractor::{Actor, ActorRef, Message};
use tokio::time::Instant;

use super::partitions::Partitions;
use super::slots::{Partition, SlotLease};

use crate::health::{Health, HealthRule};
use crate::supervisor::child_id::ChildId;
use crate::supervisor::child_spec::{ChildKind, ChildSpec, Shutdown, StartContext};
use crate::supervisor::dynamic::{DynamicSupervisor, DynamicSupervisorSpec};
use crate::supervisor::error::{SpecError, StartError};
use crate::supervisor::report::Reporter;
use crate::supervisor::restart::{Restart, RestartIntensity, Strategy};
use crate::supervisor::spec::SupervisorSpec;
use crate::supervisor::started::Started;
use crate::supervisor::task::TaskSupervisor;

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

impl PartitionSupervisorSpec<TaskSupervisor> {
    /// Partitions that are task supervisors.
    ///
    /// # Errors
    /// As [`workers`](PartitionSupervisorSpec::workers).
    pub fn task_supervisors(
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

    pub(super) fn partitions(&self) -> &Arc<Partitions<P>> {
        &self.partitions
    }

    pub(super) fn supervisor_spec(&self) -> SupervisorSpec {
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
        ChildSpec::from_fn(id, self.kind, start).restart(self.restart).stopped_by(self.shutdown)
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

impl ChildSpec {
    /// A partition supervisor as a child of another supervisor; its handle is
    /// [`PartitionSupervisorSpec::handle`]. After a restart it has as many partitions as at its first start.
    pub fn partition_supervisor<P: Partition>(id: impl Into<ChildId>, spec: PartitionSupervisorSpec<P>) -> Self {
        let partitions = Arc::clone(spec.partitions());
        let check = move |_, grace| {
            let vacant = partitions.slots.vacant(grace, Instant::now());
            ready(health_without(&vacant, partitions.slots.open())).boxed()
        };
        let child = Self::from_fn(id, ChildKind::Supervisor, move |context| {
            let spec = spec.clone();
            async move {
                let (started, supervisor, _) = context.spawn_with_direct_spawner(spec.supervisor_spec()).await?;
                spec.partitions().supervised_by(supervisor);
                Ok::<_, StartError>(started)
            }
        });
        child.with_health(|rule| HealthRule { check: Some(Arc::new(check)), ..rule })
    }
}
