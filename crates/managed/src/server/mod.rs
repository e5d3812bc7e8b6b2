//! The manager of a namespace, and the tasks that carry out what is wanted.

mod actor;
mod batches;
mod goal;
mod instances;
mod jobs;
mod journal;
mod manager;
mod message;
mod missing_needs;
mod prepared;
mod requests;
mod runner;
mod running_checks;
mod sections;
mod service_table;
mod shared;
mod state;
mod takeover;
mod waiters;

#[cfg(test)]
pub(super) use message::ShutdownReply;
pub(super) use message::{BatchRequest, ManagerMsg, Request, ShutdownProgress};
pub(super) use prepared::with_restarts;
pub(super) use runner::supervisor_spec;
pub(super) use shared::{SUPERVISOR, Shared, manager_key};
pub(super) use state::Manager;
