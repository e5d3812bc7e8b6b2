//! Worker pools: supervised workers that pull jobs from one bounded queue.
//!
//! [`Services::pool_spec`](crate::Services::pool_spec) makes a pool a child of the application: what happens to it is
//! [recorded](PoolRecording) and measured, and it counts in the health of its namespace.

pub(crate) mod observer;
mod recording;
mod spec;

#[doc(inline)]
pub use foundation_pool::*;
pub use recording::PoolRecording;
