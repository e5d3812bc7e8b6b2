//! Performing jobs by a pool of workers, beside ractor's factory, a channel for each worker, and tasks behind a semaphore.

mod call;
mod durable;
mod engine;
mod factory;
mod jobs;
mod latency;
mod panics;
mod plain;
mod size;

pub(crate) use engine::{Tally, Work, pool_spec};
pub(crate) use factory::{FactoryJob, FactoryKind, start as start_factory};

use crate::contest::BenchRow;

pub(crate) fn rows() -> impl Iterator<Item = BenchRow> {
    let groups = [jobs::rows(), call::rows(), latency::rows(), size::rows(), panics::rows(), durable::rows()];
    groups.into_iter().flatten()
}
