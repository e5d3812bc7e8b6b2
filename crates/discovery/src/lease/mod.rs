//! Leases of instances outside of this process: when one runs out, how it ended, and how many may run out at a time.

mod end;
mod preservation;
mod terms;

pub(crate) use end::LeaseEnd;
pub use preservation::{Census, Overdue, Preservation, PreservationChange, PreservationRules};
pub use terms::{LeaseLook, LeaseState, LeaseTerms};
