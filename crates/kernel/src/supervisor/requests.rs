//! Requests about children: which may be added, started, stopped and removed, and the answers that OTP gives.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use ractor::ActorId;
use serde::Serialize;
use tokio::time::Instant;

use super::chain::{RestartCause, RestartLimitExceeded};
use super::child::{Child, Slot};
use super::child_id::ChildId;
use super::child_spec::{ChildKind, ChildSpec};
use super::children::Children;
use super::error::ChildError;
use super::plan::{Delay, Key, Purpose, Work};
use super::restart::Restart;
use super::rules::{ChildSet, Rules};
use super::started::Incarnation;
use super::supervision::Supervision;

/// The state of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChildState {
    /// It runs, as this actor.
    Running(#[serde(serialize_with = "crate::written::text")] ActorId),
    /// Its first start is under way.
    Starting,
    /// It ran before and is about to run again.
    Restarting,
    /// It is to be restarted when its name, held by another actor, is free: see [`NameTaken::Wait`](crate::NameTaken).
    NameTaken,
    /// It is being stopped, or has ended and is not gone yet.
    Stopping,
    /// It is not running and will not be started by itself. OTP's `undefined`.
    Stopped,
}

/// One child, as a supervisor sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChildInfo {
    /// Its id.
    pub id: ChildId,
    /// Worker or supervisor.
    pub kind: ChildKind,
    /// Its restart rule.
    pub restart: Restart,
    /// Its state.
    pub state: ChildState,
    /// Whether its end may be the end of its supervisor: see [`AutoShutdown`](crate::AutoShutdown).
    pub significant: bool,
    /// The number of times that the supervisor has restarted it.
    pub restarts: u32,
    /// The time until it is started, while it restarts after a [`Backoff`](crate::Backoff).
    #[serde(rename = "backoff_ms", serialize_with = "crate::written::some_millis")]
    pub backoff: Option<Duration>,
}

/// The numbers of a supervisor's children. OTP's `count_children`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ChildCount {
    /// Specifications.
    pub specs: usize,
    /// Children that run.
    pub active: usize,
    /// Supervisors among the specifications.
    pub supervisors: usize,
    /// Workers among the specifications.
    pub workers: usize,
}

/// The result of a request to terminate a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terminate {
    /// It does not run.
    Done,
    /// It is on its way out; a later fact reports that it is down.
    Pending,
    /// Its start is under way and has to be aborted.
    Abort,
}

impl<T: Incarnation> Children<T> {
    /// Adds a child and queues its start.
    pub(crate) fn add(&mut self, spec: ChildSpec) -> Result<Key, ChildError> {
        let key = self.admit(spec, Slot::Requested(Purpose::Add))?;
        self.enqueue(key, Work::Start(key));
        Ok(key)
    }

    /// Adds a child whose start is under way: the first start of a supervisor goes through its list by itself.
    pub(crate) fn add_starting(&mut self, spec: ChildSpec) -> Result<Key, ChildError> {
        self.admit(spec, Slot::Starting)
    }

    pub(super) fn admit(&mut self, spec: ChildSpec, slot: Slot<T>) -> Result<Key, ChildError> {
        self.rules.check(&spec)?;
        match self.rules.child_set {
            ChildSet::Static => self.refuse_present(spec.id())?,
            ChildSet::Dynamic { max_children } if self.children.len() >= max_children => {
                return Err(ChildError::TooManyChildren { max_children });
            }
            ChildSet::Dynamic { .. } => {}
        }
        Ok(self.enter(spec, slot))
    }

    fn refuse_present(&self, id: &ChildId) -> Result<(), ChildError> {
        let Some(child) = self.by_id.get(id).and_then(|key| self.children.get(key)) else {
            return Ok(());
        };
        Err(match &child.slot {
            Slot::Running(incarnation) => ChildError::AlreadyStarted { id: id.clone(), actor: incarnation.actor_id() },
            Slot::Down => ChildError::AlreadyPresent { id: id.clone(), state: "stopped" },
            Slot::Stopping | Slot::Exited(..) => ChildError::AlreadyPresent { id: id.clone(), state: "stopping" },
            Slot::Waiting(Delay { until: None, .. }) => {
                ChildError::AlreadyPresent { id: id.clone(), state: "waiting until its name is free" }
            }
            Slot::Waiting(_) => ChildError::AlreadyPresent { id: id.clone(), state: "restarting" },
            Slot::Requested(_) | Slot::Queued | Slot::Starting | Slot::Aborting if child.lives > 0 => {
                ChildError::AlreadyPresent { id: id.clone(), state: "restarting" }
            }
            Slot::Requested(_) | Slot::Queued | Slot::Starting | Slot::Aborting => {
                ChildError::AlreadyPresent { id: id.clone(), state: "starting" }
            }
        })
    }

    /// Queues the start of a child that is down.
    pub(crate) fn manual_start(&mut self, id: &str) -> Result<Key, ChildError> {
        let key = self.down(id)?;
        if let Some(child) = self.children.get_mut(&key) {
            child.slot = Slot::Requested(Purpose::ManualStart);
            child.reset_backoff();
        }
        self.enqueue(key, Work::Start(key));
        Ok(key)
    }

    /// Removes a child that is down.
    pub(crate) fn delete(&mut self, id: &str) -> Result<(), ChildError> {
        let key = self.down(id)?;
        self.remove(key);
        Ok(())
    }

    fn down(&self, id: &str) -> Result<Key, ChildError> {
        let key = self.find(id)?;
        let child = &self.children[&key];
        let id = child.spec.id().clone();
        match &child.slot {
            Slot::Down => Ok(key),
            Slot::Running(incarnation) => Err(ChildError::Running { id, actor: incarnation.actor_id() }),
            _ => Err(ChildError::Restarting { id }),
        }
    }

    /// Ensures that a child stops and is not started again by itself.
    pub(crate) fn terminate(&mut self, key: Key) -> Terminate {
        let Some(child) = self.children.get_mut(&key) else {
            return Terminate::Done;
        };
        match child.slot {
            Slot::Down => {
                self.finish(key);
                Terminate::Done
            }
            Slot::Running(_) | Slot::Exited(..) => {
                self.enqueue(key, Work::Terminate(key));
                Terminate::Pending
            }
            Slot::Starting => {
                child.slot = Slot::Aborting;
                Terminate::Abort
            }
            Slot::Aborting => Terminate::Pending,
            // Never started: it is removed, as after a start that failed.
            Slot::Requested(Purpose::Add) => {
                self.remove(key);
                Terminate::Done
            }
            Slot::Stopping | Slot::Queued | Slot::Waiting(_) | Slot::Requested(_) => self.start_no_more(key),
        }
    }

    fn start_no_more(&mut self, key: Key) -> Terminate {
        let order_key = self.order_key(key);
        if let (Some(queue), Some(order_key)) = (self.queue_of(key), order_key) {
            queue.forget(order_key);
        }
        if self.is_stopping(key) {
            return Terminate::Pending;
        }
        self.finish(key);
        Terminate::Done
    }

    fn is_stopping(&self, key: Key) -> bool {
        self.children.get(&key).is_some_and(|child| matches!(child.slot, Slot::Stopping))
    }

    pub(crate) fn find(&self, id: &str) -> Result<Key, ChildError> {
        let known = || self.by_id.keys().map(ChildId::as_str);
        self.by_id.get(id).copied().ok_or_else(|| ChildError::not_found(id, known()))
    }

    pub(crate) fn find_actor(&self, actor: ActorId) -> Result<Key, ChildError> {
        let restarting = || self.children.iter().find(|(_, child)| child.latest == Some(actor)).map(|(key, _)| *key);
        let found = self.by_actor.get(&actor).copied().or_else(restarting);
        found.ok_or_else(|| ChildError::not_found(format!("actor {actor}"), std::iter::empty()))
    }

    pub(crate) fn id(&self, key: Key) -> Option<&ChildId> {
        Some(self.children.get(&key)?.spec.id())
    }

    pub(crate) fn running(&self, key: Key) -> Option<&T> {
        match &self.children.get(&key)?.slot {
            Slot::Running(incarnation) => Some(incarnation),
            _ => None,
        }
    }

    pub(crate) fn restarts(&self, key: Key) -> u32 {
        self.children.get(&key).map_or(0, |child| child.restarts)
    }

    /// Why a child that runs was restarted; `None` if it was started by request.
    pub(crate) fn cause(&self, key: Key) -> Option<Arc<RestartCause>> {
        self.children.get(&key)?.cause().cloned()
    }

    /// Why a child that has ended gave up, if it is a supervisor and did.
    pub(crate) fn escalation(&self, key: Key) -> Option<Arc<RestartLimitExceeded>> {
        match &self.children.get(&key)?.slot {
            Slot::Exited(incarnation, _) => incarnation.give_up_reason(),
            _ => None,
        }
    }

    /// All children, the newest first, as OTP lists them.
    pub(crate) fn which(&self, now: Instant) -> Vec<ChildInfo> {
        let newest_first = self.in_order().into_iter().rev();
        newest_first.filter_map(|key| self.which_child(key, now)).collect()
    }

    pub(crate) fn which_child(&self, key: Key, now: Instant) -> Option<ChildInfo> {
        self.children.get(&key).map(|child| info(child, now))
    }

    pub(crate) fn spec(&self, key: Key) -> Option<&ChildSpec> {
        Some(&self.children.get(&key)?.spec)
    }

    /// The children after this one, in the order of their keys.
    pub(crate) fn after(&self, after: Option<Key>) -> impl Iterator<Item = (Key, &Child<T>)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.children.range((from, Bound::Unbounded)).map(|(key, child)| (*key, &**child))
    }

    /// Whether this is the actor of a child that runs or is being stopped.
    pub(crate) fn is_actor(&self, actor: ActorId) -> bool {
        self.by_actor.contains_key(&actor)
    }

    /// The rules by which it supervises, and how much of its restart intensity is used.
    pub(crate) fn supervision(&self, now: Instant) -> Supervision {
        let Rules { strategy, auto_shutdown, .. } = self.rules;
        Supervision { strategy, auto_shutdown, intensity: self.window.intensity(), used: self.window.used(now) }
    }

    pub(crate) fn count(&self) -> ChildCount {
        let mut count = ChildCount { specs: self.children.len(), ..ChildCount::default() };
        for child in self.children.values() {
            count.active += usize::from(matches!(child.slot, Slot::Running(_)));
            count.supervisors += usize::from(child.spec.kind() == ChildKind::Supervisor);
        }
        count.workers = count.specs - count.supervisors;
        count
    }
}

pub(super) fn info<T: Incarnation>(child: &Child<T>, now: Instant) -> ChildInfo {
    let state = match &child.slot {
        Slot::Running(incarnation) => ChildState::Running(incarnation.actor_id()),
        Slot::Waiting(Delay { until: None, .. }) => ChildState::NameTaken,
        Slot::Waiting(_) => ChildState::Restarting,
        Slot::Requested(_) | Slot::Queued | Slot::Starting if child.lives > 0 => ChildState::Restarting,
        Slot::Requested(_) | Slot::Queued | Slot::Starting => ChildState::Starting,
        Slot::Aborting | Slot::Exited(..) | Slot::Stopping => ChildState::Stopping,
        Slot::Down => ChildState::Stopped,
    };
    let backoff = match &child.slot {
        Slot::Waiting(delay) => delay.until.map(|until| until.saturating_duration_since(now)),
        _ => None,
    };
    let spec = &child.spec;
    ChildInfo {
        id: spec.id().clone(),
        kind: spec.kind(),
        restart: spec.restart_rule(),
        significant: spec.is_significant(),
        state,
        restarts: child.restarts,
        backoff,
    }
}
