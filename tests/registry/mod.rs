//! Names: who has one, who gets it next, and how it is found.

mod bad_input;
mod cleanup;
mod foreign;
mod histories;
mod info;
mod isolation;
mod leases;
mod process_registry;
mod service_registry;
mod stress;
mod support;
mod unique;
mod via;
mod waiting;
