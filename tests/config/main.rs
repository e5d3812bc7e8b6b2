//! The config server: values, sections, files, records, checkpoints, and hostile input.

mod checkpoints;
mod damaged;
mod files;
mod hostile;
mod promises;
mod records;
mod sections;
mod server;
