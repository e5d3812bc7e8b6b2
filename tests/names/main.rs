//! Names: their holders, their next holders, lookups, watches, groups and locks.

mod draining;
mod ending;
mod groups;
mod holders;
mod locks;
mod lookups;
mod registry;
mod setup;
mod watches;
