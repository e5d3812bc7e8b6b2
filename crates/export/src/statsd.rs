//! StatsD and DogStatsD: lines of text in UDP datagrams.

mod exporter;
mod format;
mod line;
mod plan;
mod sent;
mod target;

pub use exporter::StatsdExporter;
pub use format::{DogStatsd, Statsd, StatsdFormat};
pub use target::{StatsdTarget, StatsdTargetError};
