//! Supervision: OTP's and Elixir's tests of their supervisors, tasks and partitions, and a simulation of the whole machine.

mod otp;
mod partitions;
mod peers;
mod simulation;
mod supervisors;
mod tasks;
