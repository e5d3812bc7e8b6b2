//! A start that is undone if its caller does not wait until it is complete.

use foundation_kernel::names::{Namespace, ProcessRegistry};
use tokio::runtime::Handle;

/// A registry, or one namespace of it, that has no handle yet. If it is dropped, it is stopped in the background, on
/// the runtime that it was begun on: an abandoned start leaves nothing behind.
#[must_use = "dropped, it stops what has been started"]
pub(crate) struct Unfinished {
    what: Option<(ProcessRegistry, Option<Namespace>)>,
    runtime: Handle,
}

impl Unfinished {
    /// For a whole registry.
    pub(crate) fn registry(registry: &ProcessRegistry) -> Self {
        Self::new(registry, None)
    }

    /// For a test's namespace.
    pub(crate) fn namespace(registry: &ProcessRegistry, namespace: Namespace) -> Self {
        Self::new(registry, Some(namespace))
    }

    fn new(registry: &ProcessRegistry, namespace: Option<Namespace>) -> Self {
        Self { what: Some((registry.clone(), namespace)), runtime: Handle::current() }
    }

    /// The caller has its handle, or knows that the start has failed.
    pub(crate) fn finish(mut self) {
        self.what = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // If the runtime is gone, so are the actors.
        match self.what.take() {
            Some((registry, Some(namespace))) => {
                self.runtime.spawn(async move { registry.cleanup_namespace(namespace).await.map(drop) });
            }
            Some((registry, None)) => {
                self.runtime.spawn(async move { registry.shutdown().await });
            }
            None => {}
        }
    }
}
