#![doc = include_str!("../README.md")]

mod batch;
mod encoded;
mod entry;
mod error;
mod event;
mod events;
mod exporter;
mod exports;
mod file;
mod format;
#[cfg(feature = "otlp")]
mod otlp;
mod retry;
mod schedule;
mod shared;
mod source;
mod spec;
mod stats;
#[cfg(feature = "statsd")]
mod statsd;
mod task;

pub use batch::Batch;
pub use encoded::{EncodeError, Encoded};
pub use error::ExportError;
pub use event::ExportEvent;
pub use events::{EventExporter, EventFileExporter, EventFormat};
pub use exporter::{ExportFault, Exported, Exporter, Target};
pub use exports::Exports;
pub use file::FileExporter;
pub use format::{Csv, Format, Json, MetricsText, OpenMetrics, PrometheusText};
#[cfg(feature = "otlp")]
pub use otlp::{Otlp, OtlpError, OtlpExporter};
pub use retry::ExportRetry;
pub use schedule::{ExportSchedule, ScheduleError};
#[cfg(feature = "otlp")]
pub use secrecy::SecretString;
pub use spec::ExporterSpec;
pub use stats::{ExporterState, ExporterStats};
#[cfg(feature = "statsd")]
pub use statsd::{DogStatsd, Statsd, StatsdExporter, StatsdFormat, StatsdTarget, StatsdTargetError};
