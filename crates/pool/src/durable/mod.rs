//! Durable jobs: accepted when they are recorded, and performed at least once, whatever happens to the process.

mod backlog;
mod batch;
mod clock;
mod error;
mod event;
mod feeder;
mod job;
mod ledger;
mod open_queues;
mod periodic;
mod pool;
mod recorder;
mod recovery;
mod schedule;
mod settlement;
mod shared;
mod spec;
mod worker;

pub use error::{DurableJobError, NotRecordedError};
pub use event::JobEvent;
pub use feeder::Poison;
pub use job::DurableJob;
pub use pool::{DurablePool, DurableRequest};
pub use schedule::Schedule;
#[cfg(feature = "cron")]
pub use schedule::ScheduleError;
pub use spec::{DurableQueue, DurableSpec};
pub use worker::DurableWorker;
