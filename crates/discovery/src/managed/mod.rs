//! Managed services: services that are declared, started, configured and replaced by their names.
//!
//! The rules are pure: the [lifecycle](ServiceState) of a service, the [needs](NeedGraph) that order starts and stops, the
//! [roster](Roster) of the services that are wanted with the [plans](ServicePlan) that bring it about, the
//! [steps](ServiceStep) of services, each with its undo, and the [plan](BatchPlan) of a [batch](Batch).

#[cfg_attr(not(test), allow(dead_code, reason = "the manager applies batches"))]
mod batch;
#[cfg_attr(not(test), allow(dead_code, reason = "the manager applies batches"))]
mod batch_error;
#[cfg_attr(not(test), allow(dead_code, reason = "the manager applies batches"))]
mod batch_plan;
#[cfg_attr(not(test), allow(dead_code, reason = "the manager applies batches"))]
mod batch_run;
#[cfg_attr(not(test), allow(dead_code, reason = "the manager applies batches"))]
mod fact;
mod lifecycle;
mod needs;
mod reconcile;
mod replacement;
#[cfg_attr(not(test), allow(dead_code, reason = "the manager applies batches"))]
mod roster;
#[cfg(test)]
mod samples;

pub use batch::{Batch, BatchOperation};
pub use batch_error::{BatchError, BatchFault, BatchFaultReason, BatchReport, LeftBehind};
pub use fact::{
    BatchOutcome, BatchPlan, DesiredState, PlannedStep, RosterFact, RosterFactError, ServiceConfig, ServiceFact,
};
pub use lifecycle::{LifecycleChange, LifecycleError, LifecycleFact, ServiceState, ServiceStatus, UnhealthyCause};
pub use needs::{Need, NeedCycleError, NeedGraph};
pub use reconcile::{ActualService, ActualServices, ServicePlan};
pub use replacement::{ReplacementStrategy, ServiceStep};
pub use roster::{DesiredService, Roster, RosterError, RosterRequest};
