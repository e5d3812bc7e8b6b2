//! Discovery: instances, their health, watches of them, and the choice of one for each call.

mod checking;
mod choosing;
mod draining;
mod health;
mod instances;
mod leases;
mod limits;
mod setup;
mod simulation;
mod watching;
