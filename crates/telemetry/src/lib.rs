#![doc = include_str!("../README.md")]

pub mod built_in;
mod error;
mod handlers;
mod hub;
mod labels;
mod name;
mod pattern;
mod prometheus;
mod scrape;
mod series;
mod service_limit;
mod tick_history;
mod unit;

pub use error::TelemetryError;
pub use handlers::TelemetryEvent;
pub use hub::client::Telemetry;
pub use hub::early::EarlyTelemetry;
pub use hub::exporter::{ExportError, Exporter};
#[cfg(feature = "metrics")]
pub use hub::recorder::TelemetryRecorder;
pub use hub::service::{TelemetryLimits, TelemetryOptions};
pub use hub::span::Span;
#[cfg(feature = "tracing-layer")]
pub use hub::tracing_layer::TelemetryLayer;
pub use labels::{LabelError, Labels};
pub use name::{MetricNameError, MetricNameErrorKind};
pub use pattern::EventPattern;
pub use prometheus::text::{open_metrics_text, prometheus_text};
pub use scrape::{MetricFamily, Scrape, Series};
pub use series::Instrument;
pub use series::family::Family;
pub use unit::Unit;
