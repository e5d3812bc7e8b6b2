//! Sections 3 and 4: Elixir's tests of its `Supervisor` (`sup_3_…`) and `DynamicSupervisor` (`dyn_4_…`), and faulty
//! starts and stops.
//!
//! Its other tests cannot exist here: specifications in two notations, `use` with options, names known to
//! several machines, options of the spawn, the initial call, and code changes.

mod bad_input;
mod contained;
mod dynamic_restarts;
mod dynamic_starts;
mod dynamic_stops;
mod fixed;
mod handles;
mod hazard;
mod size;
