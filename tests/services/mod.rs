//! The three services, the root that wires them and the harness that tests them.

mod alone;
mod config;
mod config_checkpoints;
mod config_files;
mod config_records;
mod config_sections;
mod damaged;
mod durable;
mod event_log;
mod event_store;
mod events;
mod forwarding;
mod harness;
mod heard_log;
mod hostile;
mod lifecycle;
mod limits;
mod measures;
mod queries;
mod retention;
mod root;
mod subscriptions;
mod support;
mod telemetry;
mod written;
