//! Holders of names: registration, replacement, hand-over, and the guards that end with an actor.

mod bad_input;
mod hand_over;
mod leases;
mod metadata;
mod name_taken;
mod replacing;
mod service_registry;
mod supervisors;
mod unique;
