//! What a supervisor is about to do, one step at a time.
//!
//! A [`Plan`] is a set of children to stop, in reverse start order, and then a set to start, in start order. It has at
//! most one step under way. A [`Lane`] is a plan with the work that waits for its end. One-for-one has a lane per child,
//! so that one hanging start blocks nobody else; the other strategies have one lane for all, as OTP.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ractor::ActorId;
use tokio::time::Instant;

use super::chain::RestartCause;
use super::sorted_queue::SortedQueue;

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
    pub(crate) stops: SortedQueue<Turn>,
    pub(crate) starts: SortedQueue<Turn>,
    /// The start of this child is a retry. It must go through the mailbox, or a child that always fails would keep the
    /// supervisor from ever reading it; and the children after it are down until it has succeeded.
    pub(crate) retry: Option<Key>,
    /// Why, if this is a restart.
    pub(crate) cause: Option<Arc<RestartCause>>,
    /// The starts are not made now: they are decided anew after this.
    pub(crate) wait: Option<Wait>,
}

/// What a restart waits for between its stops and its starts.
#[derive(Debug)]
pub(crate) struct Wait {
    /// The child whose failure it was; those that are stopped with it are down until then.
    pub(crate) key: Key,
    /// How long, from the moment when all concerned are stopped.
    pub(crate) delay: Duration,
    /// The time before which somebody else concerned does not want to be started.
    pub(crate) not_before: Option<Instant>,
}

/// A child's delay before its restart, told apart from its other delays by the number.
#[derive(Debug, Clone)]
pub(crate) struct Delay {
    pub(crate) number: u64,
    /// `None` if it is over when the child's name is free.
    pub(crate) until: Option<Instant>,
    pub(crate) cause: Option<Arc<RestartCause>>,
}

impl Plan {
    pub(crate) fn start(purpose: Purpose, turn: Turn) -> Self {
        Self { purpose, starts: turn.into(), ..Self::empty() }
    }

    pub(crate) fn stop(turn: Turn) -> Self {
        Self { stops: turn.into(), ..Self::empty() }
    }

    /// Nobody yet.
    pub(crate) fn restart(retry: Option<Key>) -> Self {
        Self { purpose: Purpose::Restart, retry, ..Self::empty() }
    }

    fn empty() -> Self {
        let (stops, starts) = Default::default();
        Self { purpose: Purpose::Stop, stops, starts, retry: None, cause: None, wait: None }
    }
}

/// Something that is decided when its turn comes.
#[derive(Debug)]
pub(crate) enum Work {
    /// An incarnation ended.
    Exited(Key, ActorId),
    /// A start that was part of a restart failed, for this cause.
    Retry(Key, Arc<str>),
    /// The delay of this number before a restart is over.
    Resume(Key, u64),
    /// Somebody asked for a start.
    Start(Key),
    /// Somebody asked for a stop.
    Terminate(Key),
}

impl Work {
    /// The child that it is about.
    pub(crate) fn key(&self) -> Key {
        match self {
            Self::Exited(key, _) | Self::Retry(key, _) | Self::Resume(key, _) => *key,
            Self::Start(key) | Self::Terminate(key) => *key,
        }
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
            *turns = std::mem::take(turns).into_iter().filter_map(|(_, key)| Some((place(key)?, key))).collect();
        }
    }
}
