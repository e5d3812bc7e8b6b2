//! Changes of instances.

use std::fmt;
use std::time::Duration;

use foundation_kernel::ractor::ActorId;
use foundation_kernel::supervision::ExitReason;

use crate::health::{InstanceHealth, InstanceStatus};
use crate::instance::{InstanceName, InstanceRecord};
use crate::lease::LeaseEnd;

/// One change of one instance.
///
/// Of each name, beginnings and ends alternate, and between the two the instance may be updated and its status may change
/// any number of times.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstanceChange {
    /// It is there, or meets the criteria from now on.
    Added(InstanceRecord),
    /// Its owner has changed what it says of itself. Its status may have changed with it: it begins to drain.
    Updated {
        /// The instance before.
        before: InstanceRecord,
        /// The instance now.
        after: InstanceRecord,
    },
    /// Its checks found another status.
    StatusChanged {
        /// Its health before.
        from: InstanceHealth,
        /// The instance now.
        instance: InstanceRecord,
    },
    /// It is gone, or does not meet the criteria any more.
    Removed {
        /// The instance as it was.
        instance: InstanceRecord,
        /// Why.
        cause: RemovalCause,
    },
}

/// Why an instance is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemovalCause {
    /// Its actor has ended, for this reason if it is known.
    Ended(Option<ExitReason>),
    /// The holder of its lease has given it back.
    Withdrawn,
    /// Its lease has run out.
    Expired {
        /// The time since the last renewal.
        silent_for: Duration,
    },
    /// Its name was taken from its actor, which lives on.
    Unregistered,
    /// Its name was given to another actor, which is added next.
    HandedOver {
        /// The other actor.
        to: ActorId,
    },
    /// Its actor has the name still, and its metadata is no longer that of an instance.
    MetadataReplaced,
    /// It is there still, and does not meet the criteria any more.
    NoLongerMatches,
    /// It went while the reader of the names was too slow: the cause is unknown.
    Missed,
}

impl RemovalCause {
    /// Why an instance is gone whose actor has ended for this reason.
    pub(super) fn of_exit(reason: Option<ExitReason>) -> Self {
        match reason.as_ref().and_then(LeaseEnd::of) {
            Some(LeaseEnd::Withdrawn) => Self::Withdrawn,
            Some(LeaseEnd::Expired(silent_for)) => Self::Expired { silent_for },
            // A keeper whose name was taken from it has no instance that could end.
            Some(LeaseEnd::NameLost) | None => Self::Ended(reason),
        }
    }
}

impl InstanceChange {
    /// Which instance has changed.
    pub fn name(&self) -> &InstanceName {
        match self {
            Self::Added(instance) | Self::StatusChanged { instance, .. } => instance.name(),
            Self::Updated { after, .. } => after.name(),
            Self::Removed { instance, .. } => instance.name(),
        }
    }

    /// The instance after this change; `None` if it is gone.
    pub fn instance(&self) -> Option<&InstanceRecord> {
        match self {
            Self::Added(instance) | Self::StatusChanged { instance, .. } => Some(instance),
            Self::Updated { after, .. } => Some(after),
            Self::Removed { .. } => None,
        }
    }

    /// The status before this change; `None` if the instance was not there.
    pub fn status_before(&self) -> Option<InstanceStatus> {
        match self {
            Self::Added(_) => None,
            Self::StatusChanged { from, .. } => Some(from.status),
            Self::Updated { before, .. } => Some(before.status()),
            Self::Removed { instance, .. } => Some(instance.status()),
        }
    }
}

impl fmt::Display for InstanceChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(instance) => write!(f, "{} added, {}", instance.name(), instance.health),
            Self::Updated { after, .. } => write!(f, "{} updated, {}", after.name(), after.health),
            Self::StatusChanged { from, instance } => {
                write!(f, "{} was {} and is {}", instance.name(), from.status, instance.health)
            }
            Self::Removed { instance, cause } => write!(f, "{} removed: {cause}", instance.name()),
        }
    }
}

impl fmt::Display for RemovalCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(Some(reason)) => write!(f, "its actor ended: {reason}"),
            Self::Ended(None) => f.write_str("its actor ended"),
            Self::Withdrawn => f.write_str("it was withdrawn: its lease was given back"),
            Self::Expired { silent_for } => write!(f, "its lease ran out: it was not renewed for {silent_for:?}"),
            Self::Unregistered => f.write_str("its name was taken from its actor"),
            Self::HandedOver { to } => write!(f, "its name was handed over to actor {to}"),
            Self::MetadataReplaced => f.write_str("its metadata is no longer that of an instance"),
            Self::NoLongerMatches => f.write_str("it does not meet the criteria any more"),
            Self::Missed => f.write_str("it went while changes were missed"),
        }
    }
}
