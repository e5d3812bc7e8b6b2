//! Attacks on the configuration: invalid names are refused, texts are kept unchanged, and the server continues.

mod files;
mod records;
mod secrets;
mod sections;
mod values;
