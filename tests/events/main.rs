//! The event store: appends, queries, subscriptions, retention, and disks that fail.

mod damaged;
mod faulty_disk;
mod faulty_log;
mod flow;
mod forwarding;
mod hostile;
mod outages;
mod parked;
mod promises;
mod queries;
mod recording_log;
mod retention;
mod store;
mod subscriptions;
