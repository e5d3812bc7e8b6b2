//! What a supervisor is about to do, one step at a time.
//!
//! A [`Plan`] is a set of children to stop, in reverse start order, and then a set to start, in start order. It has at
//! most one step under way. A [`Lane`] is a plan with the work that waits for its end. One-for-one has a lane per child,
//! so that one hanging start blocks nobody else; the other strategies have one lane for all, as OTP.

use std::collections::{BTreeSet, VecDeque};

use ractor::ActorId;

/// A child within its supervisor; given once and never again.
pub(crate) type Key = u64;

/// Where a child stands in the start order. A reconfiguration gives new places.
pub(crate) type Place = u64;

/// A child in start order.
pub(crate) type Turn = (Place, Key);

/// Why a plan was made; it decides what a failed start means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A failed start is tried again, and counts as a restart.
    Restart,
    /// A failed start drops the child.
    Add,
    /// A failed start leaves the child stopped.
    Revive,
    /// Nothing is started.
    Stop,
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) purpose: Purpose,
    pub(crate) stops: BTreeSet<Turn>,
    pub(crate) starts: BTreeSet<Turn>,
    /// The start of this child is a retry. It must go through the mailbox, or a child that always fails would keep the
    /// supervisor from ever reading it; and the children after it are down until it has succeeded.
    pub(crate) retry: Option<Key>,
}

impl Plan {
    pub(crate) fn start(purpose: Purpose, turn: Turn) -> Self {
        Self { purpose, stops: BTreeSet::new(), starts: BTreeSet::from([turn]), retry: None }
    }

    pub(crate) fn stop(turn: Turn) -> Self {
        Self { purpose: Purpose::Stop, stops: BTreeSet::from([turn]), starts: BTreeSet::new(), retry: None }
    }

    /// Nobody yet.
    pub(crate) fn restart(retry: Option<Key>) -> Self {
        Self { purpose: Purpose::Restart, stops: BTreeSet::new(), starts: BTreeSet::new(), retry }
    }
}

/// Something that is decided when its turn comes.
#[derive(Debug)]
pub(crate) enum Work {
    /// An incarnation ended.
    Exited(Key, ActorId),
    /// A start that was part of a restart failed.
    Retry(Key),
    /// Somebody asked for a start.
    Start(Key),
    /// Somebody asked for a stop.
    Terminate(Key),
}

impl Work {
    /// The child that it is about.
    pub(crate) fn key(&self) -> Key {
        let (Self::Exited(key, _) | Self::Retry(key) | Self::Start(key) | Self::Terminate(key)) = self;
        *key
    }
}

#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub(crate) plan: Option<Plan>,
    pub(crate) under_way: bool,
    pub(crate) waiting: VecDeque<Work>,
}

impl Lane {
    /// Takes a child out of what is still to be started.
    pub(crate) fn forget(&mut self, turn: Turn) {
        if let Some(plan) = &mut self.plan {
            plan.starts.remove(&turn);
        }
    }

    /// Takes over the new places of the children; whoever has none is no longer there.
    pub(crate) fn replace(&mut self, place: impl Fn(Key) -> Option<Place>) {
        let Some(plan) = &mut self.plan else { return };
        for turns in [&mut plan.stops, &mut plan.starts] {
            *turns = turns.iter().filter_map(|(_, key)| Some((place(*key)?, *key))).collect();
        }
    }
}
