//! Who is notified of the changes of managed services.

use std::fmt;
use std::sync::Arc;

use foundation_kernel::containment::{Contained, catch_panic, report};
use foundation_kernel::names::ServiceRegistry;

use crate::change::ServiceChange;
use crate::lifecycle::ServiceStatus;

/// Is notified of what happens to the managed services of a namespace: it records events, for example, or counts.
///
/// It runs on the manager of the namespace, so it must be brief. A panic in it is contained and logged, and the next change
/// comes all the same.
///
/// ```
/// use std::sync::Arc;
/// use foundation_kernel::names::ServiceRegistry;
/// use foundation_managed::{KindSet, Managed, ManagedObserver, ServiceChange, ServiceStatus};
///
/// struct Prints;
///
/// impl ManagedObserver for Prints {
///     fn on_changes(&self, names: &ServiceRegistry, changes: &[ServiceChange], _: &[(ServiceStatus, usize)]) {
///         changes.iter().for_each(|change| println!("{}: {change}", names.namespace()));
///     }
/// }
/// let service = Managed::observed_service(KindSet::new(), |_names| Arc::new(Prints));
/// # drop(service);
/// ```
pub trait ManagedObserver: Send + Sync + 'static {
    /// Is called with the changes since the last call, in order, and with how many services have each status now. There
    /// may be no change, after a service was declared, say.
    fn on_changes(&self, names: &ServiceRegistry, changes: &[ServiceChange], statuses: &[(ServiceStatus, usize)]);
}

/// A foreign observer, contained.
pub(crate) struct Observer {
    names: ServiceRegistry,
    observer: Contained<Arc<dyn ManagedObserver>>,
}

impl Observer {
    pub(crate) fn new(names: &ServiceRegistry, observer: Arc<dyn ManagedObserver>) -> Self {
        Self { names: names.clone(), observer: Contained::new("an observer of managed services", observer) }
    }

    pub(crate) fn notify(&self, changes: &[ServiceChange], statuses: &[(ServiceStatus, usize)]) {
        let Some(observer) = self.observer.get() else { return };
        if let Err(panic) = catch_panic(|| observer.on_changes(&self.names, changes, statuses)) {
            let namespace = self.names.namespace();
            report(|| tracing::warn!(%namespace, %panic, "an observer of managed services panicked"));
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observer({})", self.names.namespace())
    }
}
