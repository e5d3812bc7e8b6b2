//! What the documentation of the foundation, of events and of the configuration says besides, sentence by sentence.

mod config;
mod events;
mod root;
