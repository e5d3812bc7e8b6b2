//! What happens to the instances of a namespace.

use std::fmt;
use std::time::Duration;

use foundation_kernel::names::ServiceName;
use foundation_kernel::ractor::ActorId;

use crate::catalog::RemovalCause;
use crate::choice::EjectionCause;
use crate::client::Notice;
use crate::health::InstanceHealth;
use crate::instance::{InstanceName, InstanceRecord};

/// Something that has happened to the instances of a namespace, as the [observer](crate::DiscoveryObserver) is notified of
/// it.
///
/// Of each instance the events come in order: it is added, then it is updated and its status changes any number of times,
/// then it is removed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum DiscoveryEvent {
    /// An instance is there.
    InstanceAdded {
        /// The instance.
        instance: InstanceRecord,
    },
    /// Its owner has changed what it says of itself; its status is the same.
    InstanceUpdated {
        /// The instance now.
        instance: InstanceRecord,
    },
    /// It has another status, from its checks or by its own word.
    StatusChanged {
        /// Its health before.
        from: InstanceHealth,
        /// The instance now.
        instance: InstanceRecord,
    },
    /// It is gone.
    InstanceRemoved {
        /// The instance as it was.
        instance: InstanceRecord,
        /// Why.
        cause: RemovalCause,
    },
    /// It is out of rotation for a while, since calls of it fail.
    InstanceEjected {
        /// Its name. It may be gone already.
        instance: InstanceName,
        /// Its actor.
        actor: ActorId,
        /// Why.
        cause: EjectionCause,
        /// For how long.
        lasts: Duration,
    },
    /// Too many leases were not renewed at the same time: none expires for now.
    PreservationBegan {
        /// How many leases should have been renewed.
        expected: usize,
        /// How many were.
        renewed: usize,
    },
    /// Leases that are not renewed expire again.
    PreservationEnded {
        /// How long it lasted.
        lasted: Duration,
        /// How many instances it kept that have expired since.
        expired: usize,
    },
    /// An instance is not restarted although a check asks for it: too many of its service were restarted lately.
    RestartWithheld {
        /// The instance.
        instance: InstanceName,
        /// The check.
        check: String,
    },
    /// The service of discovery was away or too slow: so many ejections, preservations and withheld restarts or more are
    /// not reported.
    Missed {
        /// How many.
        events: u64,
    },
}

impl DiscoveryEvent {
    /// The service that it is of, if it is of one.
    pub fn service(&self) -> Option<&ServiceName> {
        match self {
            Self::InstanceAdded { instance } | Self::InstanceUpdated { instance } => Some(instance.service()),
            Self::StatusChanged { instance, .. } | Self::InstanceRemoved { instance, .. } => Some(instance.service()),
            Self::InstanceEjected { instance, .. } | Self::RestartWithheld { instance, .. } => Some(instance.service()),
            Self::PreservationBegan { .. } | Self::PreservationEnded { .. } | Self::Missed { .. } => None,
        }
    }
}

impl From<Notice> for DiscoveryEvent {
    fn from(notice: Notice) -> Self {
        match notice {
            Notice::PreservationBegan { expected, renewed } => Self::PreservationBegan { expected, renewed },
            Notice::PreservationEnded { lasted, expired } => Self::PreservationEnded { lasted, expired },
            Notice::Ejected { instance, actor, cause, lasts } => {
                Self::InstanceEjected { instance, actor, cause, lasts }
            }
            Notice::RestartWithheld { instance, check } => Self::RestartWithheld { instance, check },
        }
    }
}

impl fmt::Display for DiscoveryEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InstanceAdded { instance } => write!(f, "{} added, {}", instance.name(), instance.health),
            Self::InstanceUpdated { instance } => write!(f, "{} updated, {}", instance.name(), instance.health),
            Self::StatusChanged { from, instance } => {
                write!(f, "{} was {} and is {}", instance.name(), from.status, instance.health)
            }
            Self::InstanceRemoved { instance, cause } => write!(f, "{} removed: {cause}", instance.name()),
            Self::InstanceEjected { instance, cause, lasts, .. } => {
                write!(f, "{instance} ejected for {lasts:?}: {cause}")
            }
            Self::PreservationBegan { expected, renewed } => {
                write!(f, "leases are preserved: {renewed} of {expected} were renewed")
            }
            Self::PreservationEnded { lasted, expired } => {
                write!(f, "leases are preserved no more, after {lasted:?}: {expired} have expired")
            }
            Self::RestartWithheld { instance, check } => {
                write!(f, "{instance} is not restarted, as check {check:?} asks: too many of its service were")
            }
            Self::Missed { events } => write!(f, "{events} events of discovery are not reported"),
        }
    }
}
