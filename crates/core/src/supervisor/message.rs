//! What a supervisor is asked.

use ractor::{ActorCell, RpcReplyPort};

use super::child_spec::ChildSpec;
use super::error::ChildError;
use super::group::Gone;
use super::plan::Key;
use super::roster::{ChildCount, ChildInfo};
use super::spec::SupervisorSpec;
use super::started::StartedChild;

/// A request's answer.
pub(super) type Answer<T> = RpcReplyPort<Result<T, ChildError>>;

/// What a supervisor is asked.
pub(super) enum ServerMsg {
    StartChild(ChildSpec, Answer<Option<StartedChild>>),
    RestartChild(String, Answer<Option<StartedChild>>),
    TerminateChild(Which, Answer<()>),
    DeleteChild(String, Answer<()>),
    Child(String, Answer<Option<Handle>>),
    WhichChild(Which, Answer<ChildInfo>),
    ChildSpec(Which, Answer<ChildSpec>),
    Reconfigure(Box<SupervisorSpec>, Answer<()>),
    WhichChildren(RpcReplyPort<Vec<ChildInfo>>),
    CountChildren(RpcReplyPort<ChildCount>),
    StepDone(Key, u64),
    DelayOver(Key, u64),
}
crate::local_message!(ServerMsg);

/// Which child is meant.
pub(super) enum Which {
    Id(String),
    Actor(ractor::ActorId),
}

/// A running child, with the word of when its subtree is gone.
pub(super) struct Handle {
    pub(crate) actor: ActorCell,
    pub(crate) subtree: Option<Gone>,
}

pub(super) fn answer<T>(reply: RpcReplyPort<T>, value: T) {
    // Whoever asked may have stopped waiting; that is no concern of ours.
    let _ = reply.send(value);
}
