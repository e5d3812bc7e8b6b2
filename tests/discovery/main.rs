//! Discovery: instances, their health, watches of them, and the choice of one for each call.

mod checking;
mod choosing;
mod health;
mod instances;
mod leases;
mod service;
mod setup;
mod simulation;
mod watching;
