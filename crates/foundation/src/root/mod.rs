//! The root: one value that stands for a running foundation.

mod builder;
mod health;
mod layout;
mod limits;
mod path_source;
mod report;
mod reporter;
mod services;
mod signal;
mod test_namespace;

use std::sync::Arc;

use foundation_core::{CleanupReport, Namespace, ProcessRegistry, RegistryError, Tree};
use tokio::sync::OnceCell;
use tokio::time::Instant;

pub use builder::{FoundationBuilder, FoundationError};
pub use health::{Condition, NamespaceHealth, ServiceHealth};
pub use limits::{HealthLimits, Limits};
pub use report::{ShutdownReport, StopCause};
pub use services::Services;
pub use test_namespace::TestNamespace;

use crate::config::ConfigServer;
use crate::events::EventStore;
use crate::telemetry::Telemetry;
use layout::Layout;

/// A running foundation: a registry, production in it, and test namespaces on demand.
///
/// A handle, cheap to clone, on one tree of actors; two foundations in one process do not know of each other. The tree
/// does not end with its handles, but by [`shutdown`](Self::shutdown), or with the runtime.
///
/// ```
/// use foundation::Foundation;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let foundation = Foundation::builder().start().await?;
/// assert!(foundation.health().await.is_healthy());
///
/// let report = foundation.shutdown().await;
/// assert_eq!(report.namespaces.len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Foundation {
    registry: ProcessRegistry,
    layout: Arc<Layout>,
    production: Services,
    end: Arc<OnceCell<ShutdownReport>>,
}

impl Foundation {
    /// How to start one.
    pub fn builder() -> FoundationBuilder {
        FoundationBuilder::default()
    }

    /// The namespace that the application runs in.
    pub fn production(&self) -> &Services {
        &self.production
    }

    /// A namespace with its services, started if it is not up yet.
    ///
    /// # Errors
    /// [`RegistryError::Child`] with the cause of the child that did not start.
    pub async fn namespace(&self, namespace: Namespace) -> Result<Services, RegistryError> {
        Services::open(&self.registry, &self.layout.config, namespace).await
    }

    /// A fresh test namespace with its whole tree. It is cleaned up by [`TestNamespace::cleanup`], or in the background
    /// when it is dropped.
    ///
    /// # Errors
    /// As [`namespace`](Self::namespace).
    pub async fn test_namespace(&self) -> Result<TestNamespace, RegistryError> {
        let services = self.namespace(Namespace::test()).await?;
        Ok(TestNamespace::owned(&self.registry, services))
    }

    /// The configuration of production.
    pub fn config(&self) -> &ConfigServer {
        self.production.config()
    }

    /// The events of production.
    pub fn events(&self) -> &EventStore {
        self.production.events()
    }

    /// The telemetry of production.
    pub fn telemetry(&self) -> &Telemetry {
        self.production.telemetry()
    }

    /// The registry of all namespaces.
    pub fn registry(&self) -> &ProcessRegistry {
        &self.registry
    }

    /// A snapshot of the whole tree, all namespaces; see [`ProcessRegistry::tree`]. That of one namespace is
    /// [`ServiceRegistry::tree`](foundation_core::ServiceRegistry::tree).
    pub async fn tree(&self) -> Tree {
        self.registry.tree().await
    }

    /// How production is.
    pub async fn health(&self) -> NamespaceHealth {
        self.production.health().await
    }

    /// Stops a test's namespace; see [`ProcessRegistry::cleanup_namespace`].
    ///
    /// # Errors
    /// [`RegistryError::NotATest`] for production.
    pub async fn cleanup(&self, namespace: Namespace) -> Result<CleanupReport, RegistryError> {
        self.registry.cleanup_namespace(namespace).await
    }

    /// Stops everything: each namespace's application before its services, the last started first, each child within
    /// its own time. Returns when the last actor is gone. A second call waits for the first and has the same report.
    pub async fn shutdown(&self) -> ShutdownReport {
        self.stop(StopCause::Request).await
    }

    /// Runs until SIGINT or SIGTERM comes, or the tree collapses, and then shuts down; or until somebody else has called
    /// [`shutdown`](Self::shutdown).
    ///
    /// From then on the process ignores the default action of both signals: a second Ctrl-C does not kill it.
    ///
    /// # Errors
    /// [`FoundationError::Signals`] if the operating system does not let us listen; the foundation then still runs.
    pub async fn run_until_signal(&self) -> Result<ShutdownReport, FoundationError> {
        let signals = signal::Signals::listen()?;
        let cause = tokio::select! {
            cause = signals.next() => cause,
            () = self.registry.wait_until_gone() => StopCause::Collapse,
        };
        Ok(self.stop(cause).await)
    }

    /// Whoever comes first gives the cause; all others wait for the same end.
    async fn stop(&self, cause: StopCause) -> ShutdownReport {
        let stop = || async {
            let begun = Instant::now();
            let namespaces = self.registry.shutdown().await;
            ShutdownReport { cause, namespaces, took: begun.elapsed() }
        };
        self.end.get_or_init(stop).await.clone()
    }
}

impl std::fmt::Debug for Foundation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Foundation").field("namespaces", &self.registry.namespaces()).finish()
    }
}
