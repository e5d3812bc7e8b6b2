//! The choice of one instance among those that fit: who is in rotation, how near it is, and by which policy.
//!
//! All of it is pure: the figures, the time and the randomness are given. A caller has a [`Load`] for each instance, makes a
//! [`Candidate`] of each, and lets a [`Choice`] choose; [`Outliers`] and a [`RetryBudget`] are fed with how calls ended.

mod budget;
mod candidate;
mod contenders;
mod draw;
mod load;
mod locality;
mod members;
mod outcome;
mod outliers;
mod policy;
mod reason;
mod rendezvous;
mod rotation;
mod selection;
mod stamped;

pub use budget::RetryBudget;
pub(crate) use candidate::Instances;
pub use candidate::{Candidate, NoneInRotationError, OutReason};
pub use contenders::{ContenderLoads, Contenders};
pub use draw::Draw;
pub(crate) use load::Figures;
pub use load::{Load, LoadReading, LoadRules};
pub use locality::Locality;
pub use outcome::Outcome;
pub use outliers::{Ejection, EjectionCause, OutlierRules, Outliers};
pub use policy::{Policy, Score, ScoreBy};
pub use reason::ChoiceReason;
pub(crate) use reason::{Decision, Short};
pub(crate) use rotation::Rotation;
pub use selection::{Choice, Chosen};
