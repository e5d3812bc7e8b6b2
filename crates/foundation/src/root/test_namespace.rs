//! A namespace that a test has to itself.

use std::ops::Deref;

use foundation_core::{CleanupReport, RegistryError};

use super::services::Services;

/// A test's namespace with its whole tree; dereferences to its [`Services`], and through them to its registry.
///
/// `#[foundation::test]` hands one to each test and cleans it up. One from
/// [`Foundation::test_namespace`](crate::Foundation::test_namespace) is cleaned up by [`cleanup`](Self::cleanup), which
/// waits and reports; if it is only dropped, that happens in the background, on the runtime that it is dropped on.
#[derive(Debug)]
pub struct TestNamespace {
    services: Services,
    owner: Owner,
}

/// Who cleans up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Handle,
    Harness,
}

impl TestNamespace {
    pub(super) fn owned(services: Services) -> Self {
        Self { services, owner: Owner::Handle }
    }

    pub(crate) fn lent(services: Services) -> Self {
        Self { services, owner: Owner::Harness }
    }

    /// Stops everything in the namespace; returns when the last actor is gone.
    ///
    /// # Errors
    /// [`RegistryError::NotRunning`] if the whole foundation is gone.
    pub async fn cleanup(mut self) -> Result<CleanupReport, RegistryError> {
        self.owner = Owner::Harness;
        self.services.cleanup().await
    }
}

impl Deref for TestNamespace {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.services
    }
}

impl Drop for TestNamespace {
    fn drop(&mut self) {
        if self.owner == Owner::Harness {
            return;
        }
        // Without a runtime there are no actors left to stop.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let registry = self.services.registry().clone();
            runtime.spawn(async move { registry.cleanup().await });
        }
    }
}
