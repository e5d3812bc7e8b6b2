#![doc = include_str!("../README.md")]

mod dead_letters;
mod drain;
pub mod durable;
mod error;
#[allow(dead_code, reason = "the queue and the loop use it from the next steps on")]
mod event;
mod job;
mod keeper;
#[allow(dead_code, reason = "the queue and the loop use it from the next steps on")]
mod observer;
mod overflow;
mod pool;
mod queue;
mod retry;
#[allow(dead_code, reason = "the queue and the loop use it from the next steps on")]
mod routing;
#[allow(dead_code, reason = "the queue and the loop use it from the next steps on")]
mod scaling;
#[allow(dead_code, reason = "the queue and the loop use it from the next steps on")]
mod settings;
mod shared;
mod spec;
#[allow(dead_code, reason = "the queue and the loop use it from the next steps on")]
mod stats;
#[allow(dead_code, reason = "the queue and the loop use it from the next steps on")]
mod watch;
mod worker;

pub use dead_letters::{DeadLetter, DeadLetters};
pub use drain::{Drained, Unfinished};
pub use error::{JobError, PoolError, SpecError};
pub use event::PoolEvent;
pub use job::context::JobContext;
pub use job::failure::JobFailure;
pub use job::id::JobId;
pub use job::request::{JobHandle, JobRequest};
pub use observer::PoolObserver;
pub use overflow::WhenFull;
pub use pool::Pool;
pub use queue::rate::{OverRate, Rate, RateError};
pub use queue::rules::QueueSpec;
pub use retry::Retry;
pub use routing::Routing;
pub use scaling::{Scaling, ScalingError};
pub use spec::PoolSpec;
pub use stats::measurement::Measurement;
pub use stats::pool_stats::PoolStats;
pub use stats::stuck::Stuck;
pub use stats::worker_stats::{CurrentJob, WorkerState, WorkerStats};
pub use watch::{PoolWatch, PoolWatched};
pub use worker::batch_size::BatchSize;
pub use worker::slot::Slot;
pub use worker::worker::Worker;
