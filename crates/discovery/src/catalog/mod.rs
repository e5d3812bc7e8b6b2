//! The catalog: which services there are, with their instances, as a fold of what a watch of names shows.

mod change;
mod error;
mod fold;
mod selection;
mod summary;
mod value;

pub use change::{InstanceChange, RemovalCause};
pub use error::FindError;
pub use summary::ServiceSummary;
pub use value::Catalog;
