#![doc = include_str!("../README.md")]

mod drain;
mod error;
mod job;
mod pool;
mod queue;
mod spec;
mod worker;

pub use drain::{Drained, Unfinished};
pub use error::{JobError, PoolError, SpecError};
pub use job::context::JobContext;
pub use job::failure::JobFailure;
pub use job::id::JobId;
pub use pool::Pool;
pub use spec::PoolSpec;
pub use worker::slot::Slot;
pub use worker::worker::Worker;
