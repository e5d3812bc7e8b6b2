//! The registry as a whole: its namespaces, its end, its figures, and random histories of it.

mod cleanup;
mod ends;
mod foreign;
mod histories;
mod info;
mod isolation;
mod layout;
mod measures;
mod named;
mod process_registry;
mod select;
mod stress;
mod tree_watch;
