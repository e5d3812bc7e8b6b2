//! The races, one a function. Each explores all interleavings (one that says so, a part) and panics at the first that
//! breaks an invariant; the numbers are those of the invariants at the top of `names/table.rs` and of `groups/table.rs`.

mod fixture;
mod groups;
mod names;
mod queue;
mod waits;
mod watches;

pub use groups::*;
pub use names::*;
pub use queue::*;
pub use waits::*;
pub use watches::*;
