//! One child, as its supervisor knows it.

use std::sync::Arc;

use ractor::ActorId;

use super::backoff::Streak;
use super::chain::RestartCause;
use super::child_spec::ChildSpec;
use super::plan::{Delay, Place, Purpose};
use crate::exit::ExitReason;

/// What a child is doing.
#[derive(Debug)]
pub(crate) enum Slot<T> {
    /// Not running, and nobody is about to start it.
    Down,
    /// Somebody asked for its start, to this purpose; it waits for its turn.
    Requested(Purpose),
    /// The plan at work is going to start it.
    Queued,
    /// Its restart is decided, and is to be made after a delay.
    Waiting(Delay),
    /// Its start is under way.
    Starting,
    /// Its start is under way and no longer wanted.
    Aborting,
    /// It runs.
    Running(T),
    /// It has ended; what follows is decided when the plan before it has been carried out.
    Exited(T, ExitReason),
    /// It is being stopped, or waited for until it is gone.
    Stopping,
}

#[derive(Debug)]
pub(crate) struct Child<T> {
    pub(crate) spec: ChildSpec,
    pub(crate) place: Place,
    pub(crate) slot: Slot<T>,
    pub(crate) lives: u32,
    pub(crate) restarts: u32,
    /// The latest incarnation, by which a child on demand is still known while it restarts.
    pub(crate) latest: Option<ActorId>,
    pub(crate) streak: Streak,
    pub(crate) last_exit: Option<ExitReason>,
    /// Why it was started the last time, if that was a restart.
    pub(crate) cause: Option<Arc<RestartCause>>,
}

impl<T> Child<T> {
    pub(super) fn new(spec: ChildSpec, place: Place, slot: Slot<T>) -> Self {
        let (streak, last_exit, cause) = Default::default();
        Self { spec, place, slot, lives: 0, restarts: 0, latest: None, streak, last_exit, cause }
    }
}
