//! The mechanism of an actor application on [`ractor`]: names, supervision and instruments.
//!
//! The model on one page:
//!
//! - A [`ProcessRegistry`](names::ProcessRegistry) is an actor at the root of a tree. It holds any number of [`Namespace`](names::Namespace)s, each with a
//!   supervisor, a table of names and an application: production, and one for each test.
//! - A [`ServiceRegistry`](names::ServiceRegistry) is the facade of one namespace. A [`ServiceKey`](names::ServiceKey) names a service together with the message
//!   type that it answers to; [`spawn`](names::ServiceRegistry::spawn), [`supervise`](names::ServiceRegistry::supervise) and
//!   [`register`](names::ServiceRegistry::register) put an actor under a name.
//! - A [`Via`](names::Via) is a handle that finds the actor of a name at each use, and so survives its restarts.
//! - A [`Watch`](names::Watch) shows the current names and then each [`NameChange`](names::NameChange); [`Metadata`](names::Metadata) is what an owner publishes of
//!   itself.
//! - A [`Supervisor`](supervision::Supervisor) starts its children in order, restarts them by [`Restart`](supervision::Restart), [`Strategy`](supervision::Strategy) and
//!   [`RestartIntensity`](supervision::RestartIntensity), and stops them in reverse order by [`Shutdown`](supervision::Shutdown). A [`ChildSpec`](supervision::ChildSpec) describes one child, a
//!   [`Report`](supervision::Report) describes what happened to it.
//! - A [`TaskSupervisor`](supervision::TaskSupervisor) runs futures as children, to be awaited or not; a [`PartitionSupervisor`](supervision::PartitionSupervisor) the same child many
//!   times, chosen by a key.
//! - A [`SupervisorKey`](supervision::SupervisorKey) gives a supervisor a name: handles by it survive restarts. A
//!   [`TreeWatch`](supervision::TreeWatch) shows the tree and then each change of it.
//! - An actor is *gone* when its task has ended and its state and handler are dropped; a supervisor when its whole
//!   subtree is. A name is free, a child restarted and a shutdown over only then, so two incarnations never overlap.
//! - What a service handles is counted and timed without its doing: [`ServiceMeasures`](names::ServiceMeasures), as much as [`Measurement`](names::Measurement)
//!   says.
//! - [`Counter`](instruments::Counter), [`Gauge`](instruments::Gauge) and [`Histogram`](instruments::Histogram) count and measure without an actor or a lock; a [`Snapshot`](instruments::Snapshot) reads them.
//!
//! There are no statics and no default namespace (one allocator of thread slots for counters excepted), no I/O, and no
//! waiting for time where a fact can be awaited. Everything runs on the tokio runtime that it is started on, and obeys
//! its clock, paused clocks included.
//!
//! # Features
//!
//! `cluster`, `async-trait` and `span-propagation` pass ractor's features of these names through. The first two change
//! ractor's traits for the whole build, so they must be switched on here and not in ractor alone; declare message types
//! with [`local_message!`] and your code compiles with each on and off.

mod ask;
pub mod catalog;
pub mod containment;
mod exit;
mod health;
#[cfg(test)]
mod idle;
mod limits;
mod message;
mod namespace;
mod near;
mod registry;
mod supervisor;
mod sync;
mod telemetry;
pub mod text;
pub mod written;

pub use ractor;

pub use ask::{AskError, answer, ask};
#[doc(hidden)]
pub use limits::Limit;

/// Names in namespaces: registering, finding and watching actors, handles on them, groups and locks.
pub mod names {
    #[doc(inline)]
    pub use crate::limits::RegistryLimits;
    #[doc(inline)]
    pub use crate::namespace::{
        NameError, Namespace, NamespaceName, ParseNamespaceError, ServiceKey, ServiceName, TestRef,
    };
    #[doc(inline)]
    pub use crate::near::NearMisses;
    #[doc(hidden)]
    pub use crate::registry::NamespaceRemains;
    #[doc(inline)]
    pub use crate::registry::{
        CallError, CastError, CleanupReport, Collapse, DeferredDrops, Group, GroupCastError, GroupError, GroupKey,
        HealthCheck, LayoutError, Measurement, Metadata, MetadataError, NameChange, NamespaceInfo, Origin,
        ProcessRegistry, ProcessRegistryBuilder, RegisteredActor, Registration, RegistrationBuilder, RegistryError,
        RegistryStats, Replies, Service, ServiceEntry, ServiceInfo, ServiceMeasures, ServiceRegistry, StoppedService,
        TryNextError, Via, Watch, WatchRevision, Watched,
    };
}

/// Supervision trees: specifications of children, restarts, shutdown, tasks, partitions, reports and health.
pub mod supervision {
    #[doc(inline)]
    pub use crate::exit::{ExitReason, ReservedReason, check_stop_reason};
    #[doc(inline)]
    pub use crate::health::{Health, Verdict, run_check};
    #[doc(inline)]
    pub use crate::limits::{HealthLimits, SupervisorLimits};
    #[doc(inline)]
    pub use crate::registry::SupervisorKey;
    #[doc(inline)]
    pub use crate::supervisor::{
        AutoShutdown, Backoff, BackoffError, BoxError, ChildCount, ChildError, ChildEvent, ChildHealth, ChildId,
        ChildInfo, ChildKind, ChildSpec, ChildState, DynamicSupervisor, DynamicSupervisorSpec, ExponentialBackoff,
        LaggedError, NameFree, NameTaken, OnTimeout, Partition, PartitionError, PartitionSupervisor,
        PartitionSupervisorSpec, Report, Reporter, Restart, RestartCause, RestartIntensity, RestartLimitExceeded,
        RestartReason, RestartTrigger, Shutdown, SpecError, Start, StartContext, StartError, Started, StartedChild,
        StopReason, Stopped, Strategy, StreamOptions, StreamOrder, Supervision, Supervisor, SupervisorKind,
        SupervisorSpec, Task, TaskError, TaskOptions, TaskOutput, TaskStop, TaskStream, TaskSupervisor,
        TracingReporter, Tree, TreeChange, TreePath, TreePathError, TreeStatus, TreeWatch,
    };
}

/// Instruments that count and measure without an actor or a lock, and snapshots of them.
pub mod instruments {
    #[doc(inline)]
    pub use crate::telemetry::{Bounds, BoundsError, Counter, Gauge, Histogram, HistogramSnapshot, Reading, Snapshot};
    #[doc(hidden)]
    pub use crate::telemetry::{CounterIndex, CounterSet};
}
