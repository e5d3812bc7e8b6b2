//! A namespace that a test has to itself.

use foundation_config_server::ConfigServer;
use foundation_events::EventStore;
use foundation_kernel::names::{CleanupReport, RegistryError, ServiceName, ServiceRegistry};
use foundation_telemetry::Telemetry;
use tokio::runtime::Handle as Runtime;

use super::health::NamespaceHealth;
use super::services::Services;

/// A test's namespace with its whole tree; code that is tested gets its [`services`](Self::services).
///
/// `#[foundation::test]` hands one to each test and cleans it up. One from
/// [`Foundation::test_namespace`](crate::Foundation::test_namespace) is cleaned up by [`cleanup`](Self::cleanup), which
/// waits and reports; if it is only dropped, that happens in the background, on the runtime that it was made on.
pub struct TestNamespace {
    services: Services,
    owner: Owner,
}

/// What cleans the namespace up.
enum Owner {
    Handle(Runtime),
    Harness,
}

impl TestNamespace {
    pub(super) fn owned(services: Services) -> Self {
        Self { services, owner: Owner::Handle(Runtime::current()) }
    }

    pub(crate) fn lent(services: Services) -> Self {
        Self { services, owner: Owner::Harness }
    }

    /// The namespace with its services, as the application knows it.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Its names.
    pub fn registry(&self) -> &ServiceRegistry {
        self.services.registry()
    }

    /// Its configuration.
    pub fn config(&self) -> &ConfigServer {
        self.services.config()
    }

    /// Its events.
    pub fn events(&self) -> &EventStore {
        self.services.events()
    }

    /// Its telemetry.
    pub fn telemetry(&self) -> &Telemetry {
        self.services.telemetry()
    }

    /// Its instances of services.
    #[cfg(feature = "discovery")]
    pub fn discovery(&self) -> &foundation_discovery::Discovery {
        self.services.discovery()
    }

    /// Its health; see [`Services::health`].
    pub async fn health(&self) -> NamespaceHealth {
        self.services.health().await
    }

    /// Kills the actor of the service of this name, and returns when it has ended; its `post_stop` does not
    /// run. Its supervisor decides what happens then, and may have replaced it already.
    /// Only a test's namespace has this: an application's code gets [`Services`].
    ///
    /// ```
    /// use foundation::{EventStore, NewEvent, TestNamespace};
    ///
    /// #[foundation::test]
    /// async fn what_is_recorded_outlives_the_event_store(namespace: TestNamespace) {
    ///     let id = namespace.events().append(NewEvent::new("opened").unwrap()).await.unwrap();
    ///     namespace.kill(&EventStore::NAME).await.unwrap();
    ///     namespace.events().wait_until_up(None).await.unwrap();
    ///     assert!(namespace.events().get(id).await.unwrap().is_some());
    /// }
    /// ```
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] names the near misses.
    pub async fn kill(&self, name: &ServiceName) -> Result<(), RegistryError> {
        let actor = self.services.registry().lookup_any(name)?;
        // Waits for the actor's end; without a limit that cannot fail.
        let _ = actor.cell().kill_and_wait(None).await;
        Ok(())
    }

    /// Stops everything in the namespace; returns when the last actor is gone. It runs to its end even if no caller
    /// waits for it any more.
    ///
    /// # Errors
    /// None at present: for a foundation that is gone the report is empty, as nothing is left to stop.
    pub async fn cleanup(mut self) -> Result<CleanupReport, RegistryError> {
        self.owner = Owner::Harness;
        self.registry().cleanup().await
    }
}

impl AsRef<Services> for TestNamespace {
    fn as_ref(&self) -> &Services {
        &self.services
    }
}

impl Drop for TestNamespace {
    fn drop(&mut self) {
        if let Owner::Handle(runtime) = &self.owner {
            let registry = self.services.registry().clone();
            // If the runtime is gone, so are the actors.
            runtime.spawn(async move { registry.cleanup().await });
        }
    }
}

impl std::fmt::Debug for TestNamespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TestNamespace({})", self.services.namespace())
    }
}
