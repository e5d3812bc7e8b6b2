//! The handle on a set of partitions.

use std::fmt;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Arc;

use super::error::PartitionError;
use super::key::partition_of;
use super::partitions::Partitions;
use super::slots::Partition;
use super::spec::PartitionSupervisorSpec;
use crate::containment::waking_contained;
use crate::supervisor::Supervisor;
use crate::supervisor::error::{ChildError, StartError};
use crate::supervisor::requests::{ChildCount, ChildInfo};

/// A supervisor of many instances of one child, each a partition, with the routing from a key to a partition. Elixir's
/// `PartitionSupervisor`.
///
/// ```
/// use foundation_kernel::{PartitionSupervisor, PartitionSupervisorSpec};
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
/// [`ChildSpec::partition_supervisor`](crate::ChildSpec::partition_supervisor).
///
/// Cost: a lookup asks no actor. It hashes the key, locks the slot of its one partition for reading and clones the
/// reference.
pub struct PartitionSupervisor<P> {
    partitions: Arc<Partitions<P>>,
}

impl<P: Partition> PartitionSupervisor<P> {
    /// Starts one at the top of a tree of its own.
    ///
    /// # Errors
    /// [`StartError::Child`] with the cause of the partition that did not start; the others are gone again.
    pub async fn start(name: impl AsRef<str>, spec: PartitionSupervisorSpec<P>) -> Result<Self, StartError> {
        let supervisor = Supervisor::start(name, spec.supervisor_spec()).await?;
        spec.partitions().supervised_by(supervisor);
        Ok(spec.handle())
    }

    /// How many partitions keys are routed to.
    pub fn partitions(&self) -> usize {
        self.partitions.slots.open()
    }

    /// The partition of a key: an integer's absolute value modulo the number of partitions, as in Elixir, and of
    /// anything else its hash. As long as that number is the same, a key stays where it is, in each run of the program.
    ///
    /// # Errors
    /// [`PartitionError::NoPartitions`] after a resize to zero.
    pub fn partition_of(&self, key: &(impl Hash + ?Sized)) -> Result<usize, PartitionError> {
        let started = self.partitions.slots.len();
        let open = NonZeroUsize::new(self.partitions()).ok_or(PartitionError::NoPartitions { started })?;
        Ok(partition_of(key, open))
    }

    /// The current holder of the partition of this key.
    ///
    /// # Errors
    /// [`PartitionError::Down`] while it restarts or its supervisor does not run, [`PartitionError::NoPartitions`].
    pub fn lookup(&self, key: &(impl Hash + ?Sized)) -> Result<P, PartitionError> {
        self.partitions.slots.at(self.partition_of(key)?)
    }

    /// The current holder of the partition of this number.
    ///
    /// # Errors
    /// [`PartitionError::NotFound`], [`PartitionError::Down`].
    pub fn at(&self, partition: usize) -> Result<P, PartitionError> {
        let partitions = self.partitions();
        if partition >= partitions {
            return Err(PartitionError::NotFound { asked: partition, partitions });
        }
        self.partitions.slots.at(partition)
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
        let slots = &self.partitions.slots;
        if partitions > slots.len() {
            return Err(PartitionError::TooMany { asked: partitions, started: slots.len() });
        }
        let _turn = waking_contained(self.partitions.resizing.lock()).await;
        let supervisor = self.supervisor()?;
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
        self.supervisor()?.which_children().await
    }

    /// How many children there are, and how many of them run.
    ///
    /// # Errors
    /// [`ChildError::NotRunning`].
    pub async fn count_children(&self) -> Result<ChildCount, ChildError> {
        self.supervisor()?.count_children().await
    }

    /// Stops all partitions, the last one first, then their supervisor; returns when all are gone.
    pub async fn shutdown(&self) {
        if let Ok(supervisor) = self.supervisor() {
            supervisor.shutdown().await;
        }
    }

    /// The supervisor of the partitions, as it is now.
    ///
    /// # Errors
    /// [`ChildError::NotRunning`] if it has never been started.
    pub fn supervisor(&self) -> Result<Supervisor, ChildError> {
        let supervisor = self.partitions.supervisor.read().clone();
        supervisor.ok_or_else(|| ChildError::NotRunning { supervisor: "of partitions that were never started".into() })
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
        Self { partitions: Arc::clone(&self.partitions) }
    }
}

impl<P: Partition> fmt::Debug for PartitionSupervisor<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionSupervisor({} of {})", self.partitions(), self.partitions.slots.len())
    }
}

impl<P: Partition> PartitionSupervisorSpec<P> {
    /// A handle on the partitions of this specification, to be had before they are started.
    pub fn handle(&self) -> PartitionSupervisor<P> {
        PartitionSupervisor { partitions: Arc::clone(self.partitions()) }
    }
}
