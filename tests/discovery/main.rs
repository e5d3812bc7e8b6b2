//! Discovery: instances, their health, watches of them, and the choice of one for each call.

mod calls;
mod checking;
mod choosing;
mod declared_checks;
mod draining;
mod health;
mod heartbeats;
mod instances;
mod lease_simulation;
mod leases;
mod limits;
mod liveness;
mod many_checks;
mod metering;
mod quality;
mod real_checks;
mod service;
mod setup;
mod simulation;
mod watching;
