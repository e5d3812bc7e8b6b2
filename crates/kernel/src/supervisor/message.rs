//! Requests to a supervisor.

use ractor::{ActorCell, ActorId, ActorRef, RpcReplyPort};

use super::checkup::Examinee;
use super::child_spec::ChildSpec;
use super::error::ChildError;
use super::group::Gone;
use super::plan::{Key, OrderKey};
use super::requests::{ChildCount, ChildInfo};
use super::spec::SupervisorSpec;
use super::started::StartedChild;
use super::supervision::Supervision;
use crate::exit::ExitReason;

/// The port for a request's answer.
pub(super) type Answer<T> = RpcReplyPort<Result<T, ChildError>>;

/// A request to a supervisor.
pub(super) enum ServerMsg {
    StartChild(ChildSpec, Answer<Option<StartedChild>>),
    RestartChild(String, Answer<Option<StartedChild>>),
    TerminateChild(Which, Answer<()>),
    ReplaceChild(Which, ChildSpec, Answer<Option<ActorCell>>),
    DeleteChild(String, Answer<()>),
    Child(String, Answer<Option<Handle>>),
    WhichChild(Which, Answer<ChildInfo>),
    ChildSpec(Which, Answer<ChildSpec>),
    Reconfigure(Box<SupervisorSpec>, Answer<()>),
    WhichChildren(RpcReplyPort<Vec<ChildInfo>>),
    CountChildren(RpcReplyPort<ChildCount>),
    SupervisorSnapshot(Option<Key>, RpcReplyPort<SupervisorSnapshot>),
    Checkup(RpcReplyPort<Vec<Examinee>>),
    Work,
    StepDone(Key, u64),
    DelayOver(Key, u64),
}
crate::local_message!(ServerMsg);

/// The child of a request.
pub(super) enum Which {
    Id(String),
    Actor(ractor::ActorId),
}

/// A running child, with a wait until its subtree is gone.
pub(super) struct Handle {
    pub(crate) actor: ActorCell,
    pub(crate) subtree: Option<Gone>,
}

/// A part of a supervisor's children.
pub(super) struct SupervisorSnapshot {
    pub(super) supervision: Supervision,
    pub(super) child_snapshots: Vec<ChildSnapshot>,
    /// The child after which the next part begins, if there is one.
    pub(super) next: Option<Key>,
    /// With the last part: actors that are linked to it and are none of its running children.
    pub(super) unmanaged: Vec<ActorId>,
}

/// One child, which may have others below it.
pub(super) struct ChildSnapshot {
    /// Where it is in the start order.
    pub(super) order_key: OrderKey,
    pub(super) info: ChildInfo,
    /// Its latest actor, which may have ended.
    pub(super) latest: Option<ActorId>,
    pub(super) last_exit: Option<ExitReason>,
    /// The actor, if it is one of our supervisors and runs.
    pub(super) supervisor: Option<ActorCell>,
}

/// Asks a supervisor; `None` if it no longer runs.
pub(super) async fn ask<T: Send + 'static>(
    supervisor: &ActorRef<ServerMsg>,
    message: impl FnOnce(RpcReplyPort<T>) -> ServerMsg,
) -> Option<T> {
    crate::ask::ask(supervisor, message).await.ok()
}
