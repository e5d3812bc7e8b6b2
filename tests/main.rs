//! Flows through the public API: one scenario a test, all in parallel, in one process.

mod cancellation;
mod conformance;
mod otp;
mod partitions;
mod peers;
mod registry;
mod services;
mod simulation;
mod supervisors;
mod tasks;
