//! Managed services: services that are declared, started, configured and replaced by their names.
//!
//! The rules are pure: the [lifecycle](ServiceState) of a service, the [needs](NeedGraph) that order starts and stops, the
//! [roster](Roster) of the services that are wanted with the [plans](ServicePlan) that bring it about, and the
//! [steps](ServiceStep) of a replacement, each with its inverse.

mod fact;
mod lifecycle;
mod needs;
mod reconcile;
mod replacement;
mod roster;
#[cfg(test)]
mod samples;

pub use fact::{BatchOutcome, BatchPlan, DesiredState, RosterFact, RosterFactError, ServiceConfig, ServiceFact};
pub use lifecycle::{LifecycleChange, LifecycleError, LifecycleFact, ServiceState, ServiceStatus, UnhealthyCause};
pub use needs::{Need, NeedCycleError, NeedGraph};
pub use reconcile::{ActualService, ActualServices, ServicePlan};
pub use replacement::{ReplacementStrategy, ServiceStep};
pub use roster::{DesiredService, Roster, RosterError, RosterRequest};
