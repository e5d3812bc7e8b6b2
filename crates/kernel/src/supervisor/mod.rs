//! Supervision: starting, watching, restarting and stopping actors by OTP's rules.

mod actor;
mod backoff;
mod child_id;
mod child_rules;
mod children;
mod client;
mod dynamic;
mod error;
mod feed;
mod info;
mod key;
mod named;
mod one_line;
mod partition;
mod report;
mod restart;
mod spec;
mod started;
mod task;
mod tree;

pub use backoff::{Backoff, BackoffError, ExponentialBackoff};
pub use child_id::ChildId;
pub use child_rules::{AutoShutdown, ChildKind, NameTaken, Restart, Shutdown, Stopped};
pub use client::{Supervisor, SupervisorKind};
pub use dynamic::{DynamicSupervisor, DynamicSupervisorSpec};
pub use error::{BoxError, ChildError, NameFree, SpecError, StartError};
pub use info::{ChildCount, ChildInfo, ChildState};
pub use partition::supervisor::{PartitionSupervisor, PartitionSupervisorSpec};
pub use partition::{Partition, PartitionError};
pub use report::{ChildEvent, Report, Reporter, TracingReporter};
pub use restart::{
    RestartCause, RestartIntensity, RestartLimitExceeded, RestartReason, RestartTrigger, StopReason, Strategy,
};
pub use spec::{ChildSpec, StartContext, SupervisorSpec};
pub use started::{Start, Started, StartedChild};
pub use task::{
    OnTimeout, StreamOptions, StreamOrder, Task, TaskError, TaskOptions, TaskOutput, TaskStop, TaskStream,
    TaskSupervisor,
};
pub use tree::checkup::ChildHealth;
pub use tree::watch::{LaggedError, TreeChange, TreeWatch};
pub use tree::{Supervision, Tree, TreePath, TreePathError, TreeStatus};

pub(crate) use {
    actor::{DirectSpawner, Handled, Life, Metering, unmanaged::stop_unmanaged},
    named::{Find, NameHolder},
    one_line::OneLine,
    report::{InspectingReporter, TreePlace},
    spec::UnmanagedExits,
};
