//! Which worker a job goes to: the rule, and the router that applies it to the workers there are.

mod router;
mod rule;
mod timer;

pub(crate) use router::{DEFAULT_WEIGHT, Router, weight_of};
pub use rule::Routing;
pub(crate) use timer::JobTimer;
