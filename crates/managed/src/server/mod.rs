//! The manager of a namespace, and the tasks that carry out what is wanted.

mod batch_runner;
mod fleet;
mod journal;
mod manager;
mod prepared;
mod runner;
mod shared;
mod waiters;

pub(super) use manager::{BatchRequest, Manager, ManagerMsg, Request};
pub(super) use runner::supervisor_spec;
pub(super) use shared::{SUPERVISOR, Shared, manager_key};
