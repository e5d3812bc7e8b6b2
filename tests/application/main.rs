//! The foundation as a whole: its root, its life and its end, health, limits, recording, and the test harness.

mod alone;
mod cancellation;
mod conformance;
mod discovery;
mod endings;
mod harness;
mod health;
mod lifecycle;
mod limits;
mod managed;
mod promises;
mod recording;
mod root;
mod services;
mod sources;
mod written;
