//! Restarting an instance whose liveness check fails.

use std::fmt;
use std::sync::Arc;

use foundation_kernel::containment::{Contained, catch_panic, report};
use foundation_kernel::names::ServiceRegistry;

use crate::instance::InstanceRecord;

/// Restarts an instance whose [liveness](crate::health::CheckRole::Liveness) check fails, for
/// [`DiscoveryOptions::restart_by`](crate::DiscoveryOptions::restart_by). Functions of an [`InstanceRecord`] do.
///
/// It is called if the [budget](crate::health::RestartBudget) allows it, on the task of the check: it must not block. For one
/// incarnation it is called again if that is still there after two windows of the budget. The health of the record says why. A panic in it is contained.
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

    /// Whether it can restart an instance: the keeper of one outside of this process is not the instance, so killing it
    /// would restart nothing.
    pub(super) fn can_restart(&self, is_announced: bool) -> bool {
        self.0.is_some() || !is_announced
    }

    /// Restarts an instance. Runs user code: not to be called under a lock.
    pub(super) fn restart(&self, names: &ServiceRegistry, instance: &InstanceRecord) {
        let has_begun = match &self.0 {
            Some(restart) => restart_by(restart, instance),
            None => kill(names, instance),
        };
        if has_begun {
            let (namespace, name, health) = (names.namespace(), instance.name(), &instance.health);
            report(|| tracing::warn!(%namespace, instance = %name, %health, "restarted"));
        }
    }
}

/// False if it panicked.
fn restart_by(restart: &Contained<Box<dyn RestartInstance>>, instance: &InstanceRecord) -> bool {
    let restarted = catch_panic(|| restart.get().into_iter().for_each(|restart| restart.restart(instance)));
    if let Err(panic) = &restarted {
        report(|| tracing::warn!(instance = %instance.name(), %panic, "the restart of an instance panicked"));
    }
    restarted.is_ok()
}

/// False if the actor is gone. An actor that hangs in a message does not stop when it is asked to, and a kill is an end after
/// which a transient child is restarted, too.
fn kill(names: &ServiceRegistry, instance: &InstanceRecord) -> bool {
    let found = names.lookup_any(instance.name().registered()).ok();
    let found = found.filter(|found| found.actor_id() == instance.actor);
    found.inspect(|found| found.cell().kill()).is_some()
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
