//! Telemetry: the counts and measurements of a namespace, and the handlers of its events.
//!
//! Emission is synchronous and asks no actor; the actor attaches, detaches and reads, and at each tick it notes rates,
//! hands the numbers to exporters and retires idle series.

mod any_series;
mod budget;
mod built_in;
mod client;
mod early;
mod error;
mod exporter;
mod exposed_name;
mod family;
mod handler;
mod handlers;
mod hub;
mod instrument;
mod labels;
mod limits;
mod message;
mod name;
mod names;
mod nesting;
mod options;
mod pattern;
mod prometheus;
#[cfg(feature = "metrics")]
mod recorder;
mod runtime;
mod scrape;
mod self_metrics;
mod series_table;
mod server;
mod services;
mod span;
mod tick_history;
mod ticker;
#[cfg(feature = "tracing-layer")]
mod tracing_layer;

pub use any_series::Instrument;
pub use client::Telemetry;
pub use early::EarlyTelemetry;
pub use error::TelemetryError;
pub use exporter::{ExportError, Exporter};
pub use family::Family;
pub use handler::TelemetryEvent;
pub use labels::{LabelError, Labels};
pub use limits::TelemetryLimits;
pub use name::{MetricNameError, MetricNameErrorKind};
pub use options::TelemetryOptions;
pub use pattern::EventPattern;
pub use prometheus::prometheus_text;
#[cfg(feature = "metrics")]
pub use recorder::TelemetryRecorder;
pub use scrape::{MetricFamily, Scrape, Series};
pub use span::Span;
#[cfg(feature = "tracing-layer")]
pub use tracing_layer::TelemetryLayer;
