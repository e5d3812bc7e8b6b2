//! What a supervisor reports about its children.

use std::time::Duration;

use ractor::ActorId;
use serde::Serialize;

use super::child_id::ChildId;
use super::child_rules::{ChildKind, Restart};

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
    /// It is to be restarted when its name, held by another actor, is free: see [`NameTaken::Wait`](crate::supervision::NameTaken).
    NameTaken,
    /// It is being stopped, or has ended and is not gone yet.
    Stopping,
    /// It is not running and will not be started by itself. OTP's `undefined`.
    Stopped,
}

/// One child, as a supervisor sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ChildInfo {
    /// Its id.
    pub id: ChildId,
    /// Worker or supervisor.
    pub kind: ChildKind,
    /// Its restart rule.
    pub restart: Restart,
    /// Its state.
    pub state: ChildState,
    /// Whether its end may be the end of its supervisor: see [`AutoShutdown`](crate::supervision::AutoShutdown).
    pub significant: bool,
    /// The number of times that the supervisor has restarted it.
    pub restarts: u32,
    /// The time until it is started, while it restarts after a [`Backoff`](crate::supervision::Backoff).
    #[serde(rename = "backoff_ms", serialize_with = "crate::written::some_millis")]
    pub backoff: Option<Duration>,
}

/// The numbers of a supervisor's children. OTP's `count_children`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
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
