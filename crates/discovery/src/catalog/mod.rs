//! The catalog: which services there are, with their instances, as a fold of what a watch of names shows.

mod change;
mod summary;
mod value;

pub use change::{InstanceChange, RemovalCause};
pub use summary::ServiceSummary;
pub use value::{Catalog, FindError};
