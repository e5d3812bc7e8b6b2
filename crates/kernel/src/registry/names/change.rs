//! Changes of a name.

use std::fmt;

use ractor::ActorId;

use super::holder::Registration;
use crate::exit::ExitReason;
use crate::namespace::ServiceName;

/// One change of one name.
///
/// Of each name, beginnings and ends alternate: [`Registered`](Self::Registered) or [`Replaced`](Self::Replaced), then
/// exactly one of [`Unregistered`](Self::Unregistered) and [`Died`](Self::Died). Between the two the name may be
/// [handed over](Self::HandedOver) and its metadata [updated](Self::Updated) any number of times.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameChange {
    /// An actor has taken the name.
    Registered(Registration),
    /// A child that was started again has taken its name again.
    Replaced {
        /// The incarnation before.
        previous: ActorId,
        /// The new one.
        by: Registration,
    },
    /// Its holder has given the name to another actor; at no time was it free.
    HandedOver {
        /// The actor that had it.
        from: ActorId,
        /// The actor that has it.
        to: Registration,
    },
    /// Its owner has changed its metadata.
    Updated(Registration),
    /// The name was taken from its holder, which lives on without it.
    Unregistered {
        /// The name.
        name: ServiceName,
        /// The actor that had it.
        actor: ActorId,
    },
    /// Its holder has ended, its destructors included.
    Died {
        /// The name.
        name: ServiceName,
        /// The actor that had it.
        actor: ActorId,
        /// Why it ended; a stop by its supervisor is `shutdown`. `None` if the reason is unknown: for a foreign actor
        /// whose name another took before the registry was notified of its end, for one that never started, and for
        /// those that end while the whole registry shuts down.
        reason: Option<ExitReason>,
    },
}

impl NameChange {
    /// Which name has changed.
    pub fn name(&self) -> &ServiceName {
        match self {
            Self::Registered(service) | Self::Updated(service) => &service.name,
            Self::Replaced { by: service, .. } | Self::HandedOver { to: service, .. } => &service.name,
            Self::Unregistered { name, .. } | Self::Died { name, .. } => name,
        }
    }

    /// The registration of the name after this change; `None` if it is free.
    pub fn service(&self) -> Option<&Registration> {
        match self {
            Self::Registered(service) | Self::Updated(service) => Some(service),
            Self::Replaced { by: service, .. } | Self::HandedOver { to: service, .. } => Some(service),
            Self::Unregistered { .. } | Self::Died { .. } => None,
        }
    }
}

impl fmt::Display for NameChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered(service) => write!(f, "{} registered by actor {}", service.name, service.actor),
            Self::Replaced { previous, by } => {
                write!(f, "{} registered by actor {}, which replaces {previous}", by.name, by.actor)
            }
            Self::HandedOver { from, to } => write!(f, "{} handed over by actor {from} to {}", to.name, to.actor),
            Self::Updated(service) => write!(f, "{} described anew by actor {}", service.name, service.actor),
            Self::Unregistered { name, actor } => write!(f, "{name} taken from actor {actor}"),
            Self::Died { name, actor, reason: Some(reason) } => write!(f, "{name}: actor {actor} ended: {reason}"),
            Self::Died { name, actor, reason: None } => write!(f, "{name}: actor {actor} ended"),
        }
    }
}
