//! How many workers a pool has: a demand that follows from figures, rules, and a plan.

mod demand;
pub(crate) mod plan;
#[cfg(test)]
mod quality_tests;
pub(crate) mod rules;
pub(crate) mod scaler;
mod sizing;
pub(crate) mod tick;

pub use rules::{Scaling, ScalingError};
