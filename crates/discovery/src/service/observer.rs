//! Who is notified of what happens to instances.

use std::fmt;
use std::sync::Arc;

use foundation_kernel::containment::{Contained, catch_panic, report};
use foundation_kernel::names::ServiceRegistry;

use super::event::DiscoveryEvent;

/// Is notified of what happens to the instances of a namespace: it records events, for example, or counts.
///
/// It runs on a task of the [service](crate::Discovery::namespace_service), one event after the other, so it must not block. A panic
/// in it is contained and logged, and the next event comes all the same.
///
/// ```
/// use std::sync::Arc;
/// use foundation_discovery::{DiscoveryEvent, DiscoveryObserver, DiscoveryOptions};
/// use foundation_kernel::names::ServiceRegistry;
///
/// struct Prints;
///
/// impl DiscoveryObserver for Prints {
///     fn on_event(&self, names: &ServiceRegistry, event: &DiscoveryEvent) {
///         println!("{}: {event}", names.namespace());
///     }
/// }
/// let options = DiscoveryOptions::new().observer(Arc::new(Prints));
/// # drop(options);
/// ```
pub trait DiscoveryObserver: Send + Sync + 'static {
    /// Is called once for each event, with the namespace that it is of.
    fn on_event(&self, names: &ServiceRegistry, event: &DiscoveryEvent);
}

/// A foreign observer, contained.
#[derive(Clone)]
pub(crate) struct Observer(Arc<Contained<Arc<dyn DiscoveryObserver>>>);

impl Observer {
    pub(crate) fn new(observer: Arc<dyn DiscoveryObserver>) -> Self {
        Self(Arc::new(Contained::new("an observer of discovery", observer)))
    }

    pub(super) fn notify(&self, names: &ServiceRegistry, event: &DiscoveryEvent) {
        let Some(observer) = self.0.get() else { return };
        if let Err(panic) = catch_panic(|| observer.on_event(names, event)) {
            let namespace = names.namespace();
            report(|| tracing::warn!(%namespace, %event, %panic, "an observer of discovery panicked"));
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
