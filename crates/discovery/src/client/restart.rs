//! Restarting an instance whose liveness check fails.

use std::fmt;
use std::sync::Arc;

use foundation_kernel::containment::{Contained, catch_panic, report};
use foundation_kernel::names::{ServiceKey, ServiceRegistry};

use crate::instance::{InstanceRecord, Remote};

/// Restarts an instance whose [liveness](crate::health::CheckRole::Liveness) check fails, for
/// [`DiscoveryOptions::restart_by`](crate::DiscoveryOptions::restart_by). Functions of an [`InstanceRecord`] do.
///
/// It is called once for an incarnation, if the [budget](crate::health::RestartBudget) allows it, on the task of the check: it
/// must not block. The health of the record says why. A panic in it is contained.
pub trait RestartInstance: Send + Sync + 'static {
    /// Begins the restart, and returns.
    fn restart(&self, instance: &InstanceRecord);
}

impl<F: Fn(&InstanceRecord) + Send + Sync + 'static> RestartInstance for F {
    fn restart(&self, instance: &InstanceRecord) {
        self(instance);
    }
}

/// How instances are restarted: by the user's code, or else by killing the actor.
#[derive(Clone, Default)]
pub(super) struct Restarter(Option<Arc<Contained<Box<dyn RestartInstance>>>>);

impl Restarter {
    pub(super) fn new(restart: impl RestartInstance) -> Self {
        let restart: Box<dyn RestartInstance> = Box::new(restart);
        Self(Some(Arc::new(Contained::new("the restart of instances", restart))))
    }

    /// Restarts an instance. Runs user code: not to be called under a lock.
    pub(super) fn restart(&self, names: &ServiceRegistry, instance: &InstanceRecord) {
        let (namespace, name, health) = (names.namespace(), instance.name(), &instance.health);
        report(|| tracing::warn!(%namespace, instance = %name, %health, "restarted"));
        match &self.0 {
            Some(restart) => restart_by(restart, instance),
            None => kill(names, instance),
        }
    }
}

fn restart_by(restart: &Contained<Box<dyn RestartInstance>>, instance: &InstanceRecord) {
    let restarted = catch_panic(|| restart.get().into_iter().for_each(|restart| restart.restart(instance)));
    if let Err(panic) = restarted {
        report(|| tracing::warn!(instance = %instance.name(), %panic, "the restart of an instance panicked"));
    }
}

/// An actor that hangs in a message does not stop when it is asked to, and a kill is an end after which a transient child is
/// restarted, too. The keeper of an announced instance is not the instance.
fn kill(names: &ServiceRegistry, instance: &InstanceRecord) {
    let name = instance.name().registered();
    let is_remote = names.with(&ServiceKey::<Remote>::from(name.clone()), |_| ()).is_ok();
    let found = names.lookup_any(name).ok().filter(|found| found.actor_id() == instance.actor && !is_remote);
    found.into_iter().for_each(|found| found.cell().kill());
}

/// The same code, and not only code that does the same.
impl PartialEq for Restarter {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl fmt::Debug for Restarter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Restarter(custom)" } else { "Restarter(kill)" })
    }
}
