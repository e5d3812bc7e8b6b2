//! Flows through the public API: one scenario a test, all in parallel, in one process.

mod otp;
mod partitions;
mod registry;
mod services;
mod tasks;
