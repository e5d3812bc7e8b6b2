//! Errors of operations on names.

use std::time::Duration;

use ractor::ActorId;

use crate::namespace::{Namespace, ServiceName};
use crate::near::NearMisses;
use crate::registry::names::LookupError;
use crate::supervisor::{ChildError, StartError};

/// The largest number of names compared when a lookup fails, so that a miss stays cheap in a large namespace.
const MAX_COMPARED_NAMES: usize = 256;

/// Why an operation on a name failed. Its text has that of the error within it, if there is one, which is no
/// [source](std::error::Error::source) then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No live actor has this name.
    #[error("no service {name} in namespace {namespace}{near}")]
    NotFound {
        /// The namespace of the lookup.
        namespace: Namespace,
        /// The requested name.
        name: ServiceName,
        /// The closest names, among 256 of them at most.
        near: NearMisses,
    },
    /// The actor of this name answers to another message type.
    #[error("service {name} in namespace {namespace} answers to {found}, not to {wanted}")]
    WrongType {
        /// The namespace of the lookup.
        namespace: Namespace,
        /// The requested name.
        name: ServiceName,
        /// The message type that was asked for.
        wanted: &'static str,
        /// The message type of the actor that has the name.
        found: &'static str,
    },
    /// A supervisor has this name, or was asked for, and the other is no supervisor of that kind.
    #[error("service {name} in namespace {namespace} is {found}, not {wanted}")]
    WrongKind {
        /// The namespace of the lookup.
        namespace: Namespace,
        /// The requested name.
        name: ServiceName,
        /// What was asked for: `a Supervisor`, or `an actor that answers to u64`.
        wanted: String,
        /// What has the name: likewise.
        found: String,
    },
    /// A living actor has this name.
    #[error("service {name} in namespace {namespace} is already registered by {}", who(.holder))]
    AlreadyRegistered {
        /// Where.
        namespace: Namespace,
        /// Which name.
        name: ServiceName,
        /// The actor that has it; `None` if the actor is still being started.
        holder: Option<ActorId>,
    },
    /// The actor that has this name is stopping, and was not gone in time.
    #[error("service {name} in namespace {namespace} is being left by {}, which was not gone after {waited:?}", who(.holder))]
    StillLeaving {
        /// Where.
        namespace: Namespace,
        /// Which name.
        name: ServiceName,
        /// The actor that has it.
        holder: Option<ActorId>,
        /// How long was waited.
        waited: Duration,
    },
    /// An actor that has ended, or takes no more messages because it is about to, cannot be registered.
    #[error("actor {actor} cannot be registered as {name}: it has ended, or is about to")]
    Dead {
        /// The name that it was to have.
        name: ServiceName,
        /// The actor.
        actor: ActorId,
    },
    /// A reference that was made from an untyped cell does not have the actor's own message type.
    #[error("actor {actor} cannot be registered as {name} for {wanted}: it answers to {}", found.unwrap_or("another message type"))]
    WrongReference {
        /// The name that it was to have.
        name: ServiceName,
        /// The actor.
        actor: ActorId,
        /// The message type of the reference.
        wanted: &'static str,
        /// The actor's own message type; known only of an actor that has another name in the namespace.
        found: Option<&'static str>,
    },
    /// No actor registered the name in time.
    #[error("service {name} did not appear in namespace {namespace} within {waited:?}{near}")]
    WaitTimedOut {
        /// Where it was waited for.
        namespace: Namespace,
        /// Which name.
        name: ServiceName,
        /// How long.
        waited: Duration,
        /// The closest names, among 256 of them at most.
        near: NearMisses,
    },
    /// The supervisor of this name was still starting when the time to wait for it was over. A child that uses its own
    /// supervisor in its start waits for itself.
    #[error(
        "supervisor {name} in namespace {namespace} was still starting after {waited:?}; a child that is part of that start cannot wait for it"
    )]
    StillStarting {
        /// Where.
        namespace: Namespace,
        /// Which name.
        name: ServiceName,
        /// How long was waited.
        waited: Duration,
    },
    /// The actor did not start.
    #[error("service {name} in namespace {namespace} did not start: {error}")]
    Start {
        /// Where.
        namespace: Namespace,
        /// Which name.
        name: ServiceName,
        /// The actor's own cause.
        error: StartError,
    },
    /// The supervisor of the namespace's application refused the child.
    #[error("namespace {namespace}: {error}")]
    Child {
        /// Where.
        namespace: Namespace,
        /// Why.
        error: ChildError,
    },
    /// The namespace has been cleaned up, is stopping, or has not started yet.
    #[error("namespace {namespace} is not running")]
    NotRunning {
        /// Which one.
        namespace: Namespace,
    },
    /// Production cannot be cleaned up.
    #[error("namespace {namespace} cannot be cleaned up; to stop an application, shut the registry down")]
    NotATest {
        /// Which one.
        namespace: Namespace,
    },
    /// Only the owner of a registration may change its metadata.
    #[error(
        "the metadata of service {name} in namespace {namespace} belongs to actor {owner}; actor {by} may not change it"
    )]
    NotOwner {
        /// Where.
        namespace: Namespace,
        /// Which name.
        name: ServiceName,
        /// The owner.
        owner: ActorId,
        /// The actor that tried to change it.
        by: ActorId,
    },
    /// The name was not given up in time.
    #[error("service {name} in namespace {namespace} is still held by {} after {waited:?}", who(.holder))]
    StillHeld {
        /// Where.
        namespace: Namespace,
        /// Which name.
        name: ServiceName,
        /// The actor that has it; `None` if the actor is still being started.
        holder: Option<ActorId>,
        /// How long was waited.
        waited: Duration,
    },
}

fn who(holder: &Option<ActorId>) -> String {
    match holder {
        Some(actor) => format!("actor {actor}"),
        None => "an actor that is being started".to_owned(),
    }
}

impl RegistryError {
    /// A miss of a lookup for an actor that answers to `M`, for the caller; `known` returns at most so many names of the
    /// namespace.
    pub(crate) fn lookup_failed<M>(
        namespace: Namespace,
        name: &ServiceName,
        miss: LookupError,
        known: impl FnOnce(usize) -> Vec<ServiceName>,
    ) -> Self {
        let wanted = std::any::type_name::<M>();
        match miss {
            LookupError::WrongType(found) => Self::WrongType { namespace, name: name.clone(), wanted, found },
            miss => Self::missed(namespace, name, answering_to(wanted), miss, known),
        }
    }

    /// The same of a lookup for a supervisor of this kind.
    pub(crate) fn supervisor_lookup_failed(
        namespace: Namespace,
        name: &ServiceName,
        kind: &'static str,
        miss: LookupError,
        known: impl FnOnce(usize) -> Vec<ServiceName>,
    ) -> Self {
        Self::missed(namespace, name, of_kind(kind), miss, known)
    }

    fn missed(
        namespace: Namespace,
        name: &ServiceName,
        wanted: String,
        miss: LookupError,
        known: impl FnOnce(usize) -> Vec<ServiceName>,
    ) -> Self {
        let found = match miss {
            LookupError::Absent => {
                return Self::NotFound { namespace, name: name.clone(), near: near(name, known) };
            }
            LookupError::WrongType(message) => answering_to(message),
            LookupError::WrongKind(kind) => of_kind(kind),
        };
        Self::WrongKind { namespace, name: name.clone(), wanted, found }
    }

    /// A wait for an actor of this name that took too long; `known` as for a lookup.
    pub(crate) fn wait_timed_out(
        namespace: Namespace,
        name: &ServiceName,
        waited: Duration,
        known: impl FnOnce(usize) -> Vec<ServiceName>,
    ) -> Self {
        Self::WaitTimedOut { namespace, name: name.clone(), waited, near: near(name, known) }
    }
}

fn answering_to(message: &str) -> String {
    format!("an actor that answers to {message}")
}

fn of_kind(kind: &str) -> String {
    format!("a {kind}")
}

fn near(name: &ServiceName, known: impl FnOnce(usize) -> Vec<ServiceName>) -> NearMisses {
    NearMisses::of(name.as_str(), known(MAX_COMPARED_NAMES).iter().map(ServiceName::as_str))
}
