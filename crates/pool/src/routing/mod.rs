//! Which worker a job goes to: the rule, and the router that applies it to the workers there are.

mod router;
mod rule;

#[expect(unused_imports, reason = "the queue uses it from the next steps on")]
pub(crate) use router::{DEFAULT_WEIGHT, Router};
pub use rule::Routing;
