//! The remaining statements in the documentation of the foundation, of events and of the configuration, one by one.

mod config;
mod events;
mod root;
