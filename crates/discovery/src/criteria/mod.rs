//! Criteria of instances, and why an instance does not fit.

mod misfit;
mod value;

pub use misfit::{InstanceMisfits, Misfit, NoneFitsError};
pub use value::Criteria;
