//! Telemetry: instruments, handlers, series, ticks, and the text format of Prometheus.

mod bridges;
mod events;
mod exposition;
mod hostile_labels;
mod hostile_names;
mod measures;
mod promises;
mod series;
mod service;
mod stress;
mod ticks;
