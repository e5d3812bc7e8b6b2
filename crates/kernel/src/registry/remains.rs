//! What is left of a namespace that has ended.

use std::sync::Weak;

use super::namespace_state::NamespaceState;
use super::service_registry::ServiceRegistry;

/// Sees whether a namespace is still held after its end, without holding it: for the leak check of a test.
#[doc(hidden)]
pub struct NamespaceRemains(Weak<NamespaceState>);

impl ServiceRegistry {
    /// For a look at what is left of this namespace when it has ended.
    #[doc(hidden)]
    pub fn remains(&self) -> NamespaceRemains {
        NamespaceRemains(std::sync::Arc::downgrade(self.state()))
    }
}

impl NamespaceRemains {
    /// How many handles there are on it, those in services and their clones included.
    pub fn handles(&self) -> usize {
        self.0.strong_count()
    }

    /// The types of its extensions that it has let go of and that others hold.
    pub fn extensions(&self) -> Vec<&'static str> {
        self.0.upgrade().map(|state| state.extensions.remains()).unwrap_or_default()
    }
}
