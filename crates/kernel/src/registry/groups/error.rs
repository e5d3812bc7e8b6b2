//! Errors of operations on groups.

use std::fmt;

use ractor::ActorId;

use crate::namespace::{Namespace, ServiceName};
use crate::near::NearMisses;

/// Why an operation on a group failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// No live actor is in this group.
    #[error("no member of group {group} in namespace {namespace}{near}")]
    NoMember {
        /// The namespace of the lookup.
        namespace: Namespace,
        /// Which group.
        group: ServiceName,
        /// The closest names, among 256 of the groups at most.
        near: NearMisses,
    },
    /// The group has members that answer to another message type, or have values of another type.
    #[error("the members of group {group} in namespace {namespace} answer to {found}, not to {wanted}")]
    WrongType {
        /// Where.
        namespace: Namespace,
        /// Which group.
        group: ServiceName,
        /// The kind of the key.
        wanted: String,
        /// The kind of the members.
        found: String,
    },
    /// A reference that was made from an untyped cell does not have the actor's own message type.
    #[error("actor {actor} cannot join group {group} for {wanted}: it answers to another message type")]
    WrongReference {
        /// Which group.
        group: ServiceName,
        /// The actor.
        actor: ActorId,
        /// The message type of the reference.
        wanted: &'static str,
    },
    /// An actor that has ended, or takes no more messages because it is about to, cannot join.
    #[error("actor {actor} cannot join group {group}: it has ended, or is about to")]
    Dead {
        /// Which group.
        group: ServiceName,
        /// The actor.
        actor: ActorId,
    },
    /// The namespace has been cleaned up, or the registry has stopped.
    #[error("namespace {namespace} is not running")]
    NotRunning {
        /// Which one.
        namespace: Namespace,
    },
}

/// A message that no member of a group took, with the reason.
#[derive(thiserror::Error)]
#[error("{reason}")]
#[non_exhaustive]
pub struct GroupCastError<M> {
    /// The message, as it was given.
    pub message: M,
    /// Why it could not be delivered.
    pub reason: GroupError,
}

// By hand: a message need not be `Debug` for its error to be.
impl<M> fmt::Debug for GroupCastError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupCastError({:?})", self.reason)
    }
}
