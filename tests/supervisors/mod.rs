//! Sections 3 and 4: what Elixir tests of its `Supervisor` (`sup_3_…`) and `DynamicSupervisor` (`dyn_4_…`), and starts
//! and stops that go wrong.
//!
//! What it also tests and what cannot exist here: specifications in two notations, `use` with options, names known to
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
