//! The sections of the configuration that services were given last.

use std::collections::BTreeMap;
use std::sync::Arc;

use foundation_config_server::ConfigTree;
use foundation_kernel::names::ServiceName;
use parking_lot::Mutex;

/// The configuration as of which each service was given its section last, or its kind refused it. It belongs to the
/// namespace, so that a next manager finds what has changed meanwhile.
#[derive(Default)]
pub(crate) struct GivenSections(Mutex<BTreeMap<ServiceName, Arc<ConfigTree>>>);

impl GivenSections {
    /// Takes note that a service is given its section as of this configuration.
    pub(crate) fn give(&self, name: &ServiceName, tree: &Arc<ConfigTree>) {
        // The former one is dropped after the lock is released: its sections are the user's.
        let _former = self.0.lock().insert(name.clone(), Arc::clone(tree));
    }

    /// The configuration as of which a service was given its section.
    pub(crate) fn of(&self, name: &ServiceName) -> Option<Arc<ConfigTree>> {
        self.0.lock().get(name).cloned()
    }

    /// Forgets services that are not among these.
    pub(crate) fn keep(&self, is_known: impl Fn(&ServiceName) -> bool) {
        let mut given = self.0.lock();
        let all = std::mem::take(&mut *given).into_iter();
        let (known, forgotten): (BTreeMap<_, _>, BTreeMap<_, _>) = all.partition(|(name, _)| is_known(name));
        *given = known;
        drop(given);
        drop(forgotten);
    }

    /// Whether the section of a service has changed since. One that was never given is given with the next start.
    pub(crate) fn has_changed(&self, name: &ServiceName, path: &str, now: &Arc<ConfigTree>) -> bool {
        let Some(given) = self.of(name).filter(|given| !Arc::ptr_eq(given, now)) else { return false };
        let has_changed = given.get(path).ok() != now.get(path).ok();
        if !has_changed {
            self.give(name, now);
        }
        has_changed
    }
}
