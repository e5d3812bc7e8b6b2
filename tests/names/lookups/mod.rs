//! Lookups, calls through a name, and waits for one.

mod asking;
mod via;
mod waiting;
mod wakers;
