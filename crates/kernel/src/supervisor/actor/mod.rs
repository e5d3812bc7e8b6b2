//! The actor around the state machine, its children's wrapper, and the groups that show when a subtree is gone.

mod delays;
mod ending;
mod group;
mod managed;
mod replacement;
mod requests;
mod server;
mod start;
mod step;
mod unmanaged;

pub(super) use group::{Gone, Group};
pub(super) use managed::Managed;
pub(crate) use managed::{DirectSpawner, Handled, Life, Metering};
pub(crate) use unmanaged::stop_unmanaged;
