//! Managed services: kinds, what is wanted and recorded, replacements, restores, and the end.

mod batching;
mod ending;
mod liveness;
mod refusals;
mod replacing;
mod requests;
mod restoring;
mod sections;
mod setup;
mod simulation;
mod stress;
mod succession;
mod takeover;
mod taking_back;
mod unanswered;
