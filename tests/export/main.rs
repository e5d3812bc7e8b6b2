//! Exporters: when they export, what happens when they fail, and the formats that they write.

mod demand;
mod failures;
mod files;
mod formats;
mod misuse;
mod otlp;
mod plugins;
mod schedule;
mod setup;
