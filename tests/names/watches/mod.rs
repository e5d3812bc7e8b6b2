//! Watches: each change of a name is reported, in order.

mod changes;
pub(crate) mod mirror;
mod stress;
