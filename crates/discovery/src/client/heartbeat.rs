//! A handle that gives heartbeats of one incarnation.

use std::fmt;
use std::sync::Arc;

use crate::instance::InstanceName;
use crate::pulse::Pulse;

/// Heartbeats of one incarnation of an instance: for its [heartbeat checks](crate::InstanceCheck::heartbeat), from
/// [`Discovery::heartbeat_of`](crate::Discovery::heartbeat_of), or for its lease, from
/// [`InstanceLease::heartbeat`](crate::InstanceLease::heartbeat).
///
/// A heartbeat costs a load and a comparison, and one store if it is the first since a reader has looked: it reads no clock,
/// takes no lock and waits in no queue. Therefore it has no time: it counts from the next look at it, which is at most a third
/// of the time to live later.
///
/// Cloning costs two reference counts. The handle does not keep the incarnation.
///
/// ```
/// # use foundation_discovery::{Discovery, DiscoveryError, InstanceName};
/// # fn work() -> bool { false }
/// # fn example(discovery: Discovery, name: InstanceName) -> Result<(), Box<dyn std::error::Error>> {
/// let heartbeat = discovery.heartbeat_of(&name)?;
/// while work() {
///     heartbeat.beat()?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Heartbeat {
    name: InstanceName,
    pulse: Arc<Pulse>,
}

/// The incarnation of a [`Heartbeat`] is gone, or its lease is lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a heartbeat of {name} comes too late: its incarnation is gone, or its lease is lost")]
#[non_exhaustive]
pub struct HeartbeatTooLateError {
    /// The instance.
    pub name: InstanceName,
}

impl Heartbeat {
    pub(super) fn new(name: &InstanceName, pulse: &Arc<Pulse>) -> Self {
        pulse.expect_beats();
        Self { name: name.clone(), pulse: Arc::clone(pulse) }
    }

    /// Gives a heartbeat.
    ///
    /// # Errors
    /// [`HeartbeatTooLateError`]: it does not count. That a name was taken away is known after the next use of discovery in the
    /// namespace.
    #[inline]
    pub fn beat(&self) -> Result<(), HeartbeatTooLateError> {
        if self.pulse.beat() { Ok(()) } else { Err(self.too_late()) }
    }

    #[cold]
    fn too_late(&self) -> HeartbeatTooLateError {
        HeartbeatTooLateError { name: self.name.clone() }
    }

    /// The name of the instance.
    pub fn name(&self) -> &InstanceName {
        &self.name
    }
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Heartbeat({})", self.name)
    }
}
