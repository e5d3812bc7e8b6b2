//! The planned work of a supervisor, one step at a time.
//!
//! A [`Plan`] is a set of children to stop, in reverse start order, and then a set to start, in start order. It has at
//! most one step under way. A [`PlanQueue`] is a plan with the work that waits for its end. One-for-one has a queue per
//! child, so that one hanging start blocks no other child; the other strategies have one queue for all, as OTP.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ractor::ActorId;
use tokio::time::Instant;

use super::chain::RestartCause;
use super::sorted_queue::SortedQueue;

/// A child within its supervisor; given once and never again.
pub(crate) type Key = u64;

/// A child's index in the start order. A reconfiguration gives new ones.
pub(crate) type StartIndex = u64;

/// The order of children: by start index.
pub(crate) type OrderKey = (StartIndex, Key);

/// Why a plan was made; it decides what a failed start means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A failed start is tried again, and counts as a restart.
    Restart,
    /// A failed start drops the child.
    Add,
    /// A failed start leaves the child stopped.
    ManualStart,
    /// Nothing is started.
    Stop,
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) purpose: Purpose,
    pub(crate) stops: SortedQueue<OrderKey>,
    pub(crate) starts: SortedQueue<OrderKey>,
    /// The start of this child is a retry. It must go through the mailbox, or a child that always fails would keep the
    /// supervisor from ever reading it. The children after it are down until it has succeeded.
    pub(crate) retry: Option<Key>,
    /// The cause, if this is a restart.
    pub(crate) cause: Option<Arc<RestartCause>>,
    /// The starts are not made now: they are decided again after this.
    pub(crate) wait: Option<Wait>,
}

/// The wait of a restart between its stops and its starts.
#[derive(Debug)]
pub(crate) struct Wait {
    /// The failed child; the children stopped with it are down until then.
    pub(crate) key: Key,
    /// The delay, from the moment when all affected children are stopped.
    pub(crate) delay: Duration,
    /// The earliest time at which another affected child may be started.
    pub(crate) not_before: Option<Instant>,
}

/// A child's delay before its restart, distinguished from its other delays by the number.
#[derive(Debug, Clone)]
pub(crate) struct Delay {
    pub(crate) number: u64,
    /// `None` if it ends when the child's name is free.
    pub(crate) until: Option<Instant>,
    pub(crate) cause: Option<Arc<RestartCause>>,
}

impl Plan {
    pub(crate) fn start(purpose: Purpose, order_key: OrderKey) -> Self {
        Self { purpose, starts: order_key.into(), ..Self::empty() }
    }

    pub(crate) fn stop(order_key: OrderKey) -> Self {
        Self { stops: order_key.into(), ..Self::empty() }
    }

    /// No children yet.
    pub(crate) fn restart(retry: Option<Key>) -> Self {
        Self { purpose: Purpose::Restart, retry, ..Self::empty() }
    }

    fn empty() -> Self {
        let (stops, starts) = Default::default();
        Self { purpose: Purpose::Stop, stops, starts, retry: None, cause: None, wait: None }
    }
}

/// Work that is decided when its turn comes.
#[derive(Debug)]
pub(crate) enum Work {
    /// An incarnation ended.
    Exited(Key, ActorId),
    /// A start that was part of a restart failed, for this cause.
    Retry(Key, Arc<str>),
    /// The delay of this number before a restart is over.
    Resume(Key, u64),
    /// A start was requested.
    Start(Key),
    /// A stop was requested.
    Terminate(Key),
}

impl Work {
    /// The child concerned.
    pub(crate) fn key(&self) -> Key {
        match self {
            Self::Exited(key, _) | Self::Retry(key, _) | Self::Resume(key, _) => *key,
            Self::Start(key) | Self::Terminate(key) => *key,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct PlanQueue {
    pub(crate) plan: Option<Plan>,
    pub(crate) under_way: bool,
    pub(crate) waiting: VecDeque<Work>,
}

impl PlanQueue {
    /// Removes a child from the pending starts.
    pub(crate) fn forget(&mut self, order_key: OrderKey) {
        if let Some(plan) = &mut self.plan {
            plan.starts.remove(&order_key);
        }
    }

    /// Applies the new start indices of the children; a child without one is no longer there.
    pub(crate) fn replace(&mut self, start_index: impl Fn(Key) -> Option<StartIndex>) {
        let Some(plan) = &mut self.plan else { return };
        for order_keys in [&mut plan.stops, &mut plan.starts] {
            *order_keys =
                std::mem::take(order_keys).into_iter().filter_map(|(_, key)| Some((start_index(key)?, key))).collect();
        }
    }
}
