//! The root: one value that stands for a running foundation.

use std::sync::{Arc, OnceLock};

use foundation_kernel::names::{CleanupReport, Collapse, Namespace, ProcessRegistry, RegistryError};
use foundation_kernel::supervision::Tree;
use tokio::time::Instant;

use foundation_config_server::{ConfigServer, ConfigTree};
use foundation_events::EventStore;
use foundation_telemetry::Telemetry;

use super::error::FoundationError;
use super::health::NamespaceHealth;
use super::report::{ShutdownReport, StopCause};
use super::services::Services;
use super::signal::Signals;
use super::test_namespace::TestNamespace;
use super::unfinished::Unfinished;

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
    config: Arc<ConfigTree>,
    production: Services,
    shutdown: Arc<ShutdownState>,
}

/// The shutdown: the cause of the first request, and its outcome.
#[derive(Default)]
struct ShutdownState {
    asked: OnceLock<(StopCause, Option<Collapse>, Instant)>,
    report: OnceLock<ShutdownReport>,
}

impl Foundation {
    pub(super) fn new(registry: ProcessRegistry, config: Arc<ConfigTree>, production: Services) -> Self {
        Self { registry, config, production, shutdown: Arc::default() }
    }

    /// The namespace that the application runs in.
    pub fn production(&self) -> &Services {
        &self.production
    }

    /// A namespace with its services, started if it is not up yet.
    ///
    /// # Errors
    /// [`RegistryError::Child`] with the cause of the child that did not start; [`RegistryError::NotRunning`] after the
    /// shutdown, or the collapse, of the foundation, and during the namespace's own clean-up. See
    /// [`ProcessRegistry::namespace`] for one that has collapsed.
    pub async fn namespace(&self, namespace: Namespace) -> Result<Services, RegistryError> {
        Services::open(&self.registry, &self.config, namespace).await
    }

    /// A fresh test namespace with its whole tree. It is cleaned up by [`TestNamespace::cleanup`], or in the background
    /// when it is dropped, also if that happens before its start is complete.
    ///
    /// # Errors
    /// As [`namespace`](Self::namespace).
    pub async fn test_namespace(&self) -> Result<TestNamespace, RegistryError> {
        let namespace = Namespace::test();
        let unfinished = Unfinished::namespace(&self.registry, namespace);
        let services = self.namespace(namespace).await;
        unfinished.finish();
        Ok(TestNamespace::owned(services?))
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
    /// [`ServiceRegistry::tree`](foundation_kernel::names::ServiceRegistry::tree).
    pub async fn tree(&self) -> Tree {
        self.registry.tree().await
    }

    /// The health of production.
    pub async fn health(&self) -> NamespaceHealth {
        self.production.health().await
    }

    /// Stops a namespace beside production; see [`ProcessRegistry::cleanup_namespace`].
    ///
    /// # Errors
    /// [`RegistryError::NotATest`] for production.
    pub async fn cleanup(&self, namespace: Namespace) -> Result<CleanupReport, RegistryError> {
        self.registry.cleanup_namespace(namespace).await
    }

    /// Stops everything: each namespace's application before its services, the last started first, each child within
    /// its own time. Returns when the last actor is gone. A second call waits for the first and has the same report.
    ///
    /// Once requested it runs to its end, whether or not a caller still waits; see [`ProcessRegistry::shutdown`].
    pub async fn shutdown(&self) -> ShutdownReport {
        self.stop(StopCause::Request).await
    }

    /// Runs until SIGINT or SIGTERM comes, or the tree collapses, and then shuts down; or until another caller has
    /// called [`shutdown`](Self::shutdown). On Windows these are Ctrl-C or Ctrl-Break, and the end of the console or
    /// the machine, for which Windows leaves a process some seconds only. The report names the cause, and is what a
    /// `main` may return: its [exit code](ShutdownReport::exit_code) is not zero after a collapse.
    ///
    /// ```no_run
    /// use foundation::{Foundation, FoundationError, ShutdownReport};
    ///
    /// #[tokio::main]
    /// async fn main() -> Result<ShutdownReport, FoundationError> {
    ///     Foundation::builder().start().await?.run_until_signal().await
    /// }
    /// ```
    ///
    /// From the call on the process ignores the default action of both signals. One that comes during the shutdown ends
    /// the process at once, with the exit code 130 (SIGINT) or 143 (SIGTERM), and is reported with `tracing` as an
    /// error: no actor is asked to stop any more, and no destructor runs. That holds for as long as this function is
    /// awaited. On Windows only Ctrl-C and Ctrl-Break do so: the end of the console or the machine has a limit there.
    ///
    /// # Errors
    /// [`FoundationError::Signals`] if the operating system refuses the signal handlers, or the runtime has no I/O
    /// (tokio's own message about that goes to the panic hook); the foundation then still runs.
    pub async fn run_until_signal(&self) -> Result<ShutdownReport, FoundationError> {
        let mut signals = Signals::listen()?;
        let cause = tokio::select! {
            cause = signals.next() => cause,
            // Requested by another caller, who gave the cause; or it has collapsed.
            () = self.registry.wait_until_gone() => StopCause::Request,
        };
        tokio::select! {
            biased;
            report = self.stop(cause) => Ok(report),
            never = signals.end_process_at_next() => never,
        }
    }

    /// The first caller gives the cause, unless the tree has ended by itself; all others wait for the same end.
    async fn stop(&self, cause: StopCause) -> ShutdownReport {
        let first = || match self.registry.collapse() {
            Some(collapse) => (StopCause::Collapse, Some(collapse), Instant::now()),
            None => (cause, None, Instant::now()),
        };
        let (cause, collapse, begun) = self.shutdown.asked.get_or_init(first);
        let namespaces = self.registry.shutdown().await;
        let report = || ShutdownReport { cause: *cause, collapse: collapse.clone(), namespaces, took: begun.elapsed() };
        self.shutdown.report.get_or_init(report).clone()
    }
}

impl std::fmt::Debug for Foundation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Foundation").field("namespaces", &self.registry.namespaces()).finish()
    }
}
