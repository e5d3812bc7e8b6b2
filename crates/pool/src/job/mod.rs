//! Jobs: what a worker is lent, and what the pool keeps of each.

pub(crate) mod batch;
pub(crate) mod context;
pub(crate) mod failure;
pub(crate) mod id;
pub(crate) mod key;
pub(crate) mod record;
pub(crate) mod request;
