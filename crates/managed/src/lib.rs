#![doc = include_str!("../README.md")]

mod batch;
mod batch_error;
mod batch_plan;
mod batch_run;
mod change;
mod client;
mod error;
mod fact;
mod kinds;
mod lifecycle;
mod lifecycle_watch;
pub mod limits;
mod needs;
mod observer;
mod reconcile;
mod record;
mod replacement;
mod report;
mod roster;
#[cfg(test)]
mod samples;
mod server;

pub use batch::{Batch, BatchOperation};
pub use batch_error::{BatchError, BatchFault, BatchFaultReason, BatchReport, LeftBehind};
pub use change::ServiceChange;
pub use client::Managed;
pub use error::ManagedError;
pub use fact::{
    BatchOutcome, BatchPlan, DesiredState, PlannedStep, RosterFact, RosterFactError, ServiceConfig, ServiceFact,
    ServiceGeneration,
};
pub use kinds::{
    ConfigField, ConfigurationError, FieldType, InvalidField, KindError, KindRecord, KindSet, ServiceContext,
    ServiceKind,
};
pub use lifecycle::{LifecycleChange, LifecycleError, LifecycleFact, ServiceState, ServiceStatus, UnhealthyCause};
pub use lifecycle_watch::{LifecycleWatch, LifecycleWatched};
pub use needs::{Need, NeedCycleError, NeedGraph};
pub use observer::ManagedObserver;
pub use reconcile::ServicePlan;
pub use reconcile::actual::{ActualService, ActualServices};
pub use record::{BatchPhase, PendingBatch, ServiceRecord};
pub use replacement::{ReplacementStrategy, ServiceStep};
pub use report::{
    ManagedDiagnostics, ManagedExport, ManagedShutdown, ManagedStatistics, ServiceProblem, ServiceStatistics,
};
pub use roster::error::RosterError;
pub use roster::{DesiredService, Roster, RosterRequest};
