//! Exporters: when they export, what happens when they fail, and the formats that they write.

mod demand;
mod ends;
mod events;
mod failures;
mod files;
mod formats;
mod hostile;
mod load;
mod misuse;
mod moments;
mod otlp;
mod plugins;
mod schedule;
mod setup;
mod statsd;
