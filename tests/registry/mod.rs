//! Names: who has one, who gets it next, and how it is found.

mod asking;
mod bad_input;
mod cleanup;
mod foreign;
mod group_stress;
mod groups;
mod hand_over;
mod histories;
mod info;
mod isolation;
mod leases;
mod locks;
mod measures;
mod metadata;
mod mirror;
mod process_registry;
mod select;
mod service_registry;
mod stress;
mod support;
mod unique;
mod via;
mod waiting;
mod watch;
mod watch_stress;
