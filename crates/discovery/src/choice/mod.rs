//! The choice of one instance among those that fit: who is in rotation, how near it is, and by which policy.
//!
//! All of it is pure: the figures, the time and the randomness are given. A caller holds a [`Load`] for each instance, makes a
//! [`Candidate`] of each, and lets a [`Choice`] choose; [`Outliers`] and a [`RetryBudget`] are fed with how calls ended.

mod budget;
mod candidate;
mod load;
mod locality;
mod outliers;
mod policy;
mod rendezvous;
mod selection;

pub use budget::RetryBudget;
pub use candidate::{Candidate, NoneInRotationError, OutReason};
pub use load::{Load, LoadReading, LoadRules, Outcome};
pub use locality::Locality;
pub use outliers::{Ejection, EjectionCause, OutlierRules, Outliers};
pub use policy::{Draw, Policy, Score, ScoreBy};
pub use selection::{Choice, Chosen};
