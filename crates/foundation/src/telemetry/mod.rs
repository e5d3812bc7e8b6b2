//! Telemetry: what a namespace counts and measures, and who is told of it.
//!
//! Emission is synchronous and asks no actor; the actor attaches, detaches and reads.

mod client;
mod error;
mod handler;
mod hub;
mod server;
mod services;
mod span;

pub use client::Telemetry;
pub use error::TelemetryError;
pub use handler::TelemetryEvent;
