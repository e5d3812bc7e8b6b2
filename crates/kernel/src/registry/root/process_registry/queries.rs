//! What can be asked of all namespaces: names, sizes, trees.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use ractor::{ActorCell, ActorId, ActorRef, Message};
use serde::Serialize;
use tokio::time::timeout;

use super::{ProcessRegistry, Shared};
use crate::limits::HealthLimits;
use crate::namespace::{Namespace, ServiceKey, ServiceName};
use crate::registry::client::{CleanupReport, RegistryError, Root, ServiceRegistry, Via};
use crate::supervisor::{ChildHealth, Tree, TreeStatus};

/// How much a registry holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RegistryStats {
    /// Names in all namespaces.
    pub total: usize,
    /// Names in production.
    pub production: usize,
    /// Names in test namespaces.
    pub tests: usize,
    /// Test namespaces that are up.
    pub test_namespaces: usize,
    /// An estimate of the memory for names, in bytes, without the actors themselves.
    pub bytes: usize,
}

impl ProcessRegistry {
    /// How much the registry holds; cost: linear in the namespaces.
    pub fn stats(&self) -> RegistryStats {
        let mut stats = RegistryStats::default();
        for registry in self.open_registries() {
            let (names, bytes) = registry.size();
            stats.total += names;
            stats.bytes += bytes;
            if registry.namespace().is_test() {
                stats.tests += names;
                stats.test_namespaces += 1;
            } else {
                stats.production += names;
            }
        }
        stats
    }

    /// A snapshot of the whole tree: the root, every namespace with its services and its application, and the actors
    /// spawned under a name. Foreign actors have no supervisor here and are not in it. A supervisor that does not
    /// answer [in time](crate::SupervisorLimits::tree) is shown as silent.
    ///
    /// ```
    /// use foundation_kernel::{Namespace, ProcessRegistry};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let registry = ProcessRegistry::start().await?;
    /// registry.namespace(Namespace::Production).await?;
    /// let tree = registry.tree().await;
    /// assert!(tree.child("production").and_then(|production| production.child("application")).is_some());
    /// println!("{tree}");
    /// # registry.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn tree(&self) -> Tree {
        match self.root() {
            Ok(root) => root.snapshot().await.named(&self.names()),
            Err(_) => Tree::unknown("registry".to_owned(), TreeStatus::Starting),
        }
    }

    async fn namespace_tree(&self, namespace: Namespace) -> Tree {
        let unknown = |status| Tree::unknown(format!("registry/{namespace}"), status);
        let Ok(root) = self.root() else { return unknown(TreeStatus::Starting) };
        match timeout(self.limits().supervisor.tree, root.supervisor(namespace.to_string())).await {
            Ok(Ok(Some(supervisor))) => supervisor.snapshot().await.named(&self.names()),
            // Between two incarnations, or before the first.
            Ok(Ok(None)) => unknown(TreeStatus::Restarting),
            Ok(Err(_)) => unknown(TreeStatus::Stopped),
            Err(_) => unknown(TreeStatus::Silent),
        }
    }

    /// The health of the children in a namespace that count; empty if it does not run.
    async fn namespace_health(&self, namespace: Namespace, limits: &HealthLimits) -> Vec<ChildHealth> {
        let Ok(root) = self.root() else { return Vec::new() };
        match timeout(limits.answer, root.supervisor(namespace.to_string())).await {
            Ok(Ok(Some(supervisor))) => supervisor.health(limits).await.unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    fn names(&self) -> HashMap<ActorId, String> {
        self.open_registries().iter().flat_map(ServiceRegistry::names).collect()
    }

    // ---- names in any namespace; the client of one namespace saves the lookup in the map ----

    /// Registers an actor that was started elsewhere; see
    /// [`ServiceRegistry::register`](crate::ServiceRegistry::register).
    ///
    /// # Errors
    /// As there, and as [`namespace`](Self::namespace).
    pub async fn register<M: Message>(
        &self,
        namespace: Namespace,
        key: &ServiceKey<M>,
        actor: &ActorRef<M>,
    ) -> Result<(), RegistryError> {
        self.namespace(namespace).await?.register(key, actor).await
    }

    /// Takes a name away; see [`ServiceRegistry::unregister`](crate::ServiceRegistry::unregister).
    pub fn unregister<M>(&self, namespace: Namespace, key: &ServiceKey<M>) -> bool {
        self.open_registry(namespace).is_some_and(|registry| registry.unregister(key))
    }

    /// The live actor of a name; see [`ServiceRegistry::lookup`](crate::ServiceRegistry::lookup).
    ///
    /// # Errors
    /// As there; [`RegistryError::NotFound`] also if the namespace is not up.
    pub fn lookup<M: Message>(&self, namespace: Namespace, key: &ServiceKey<M>) -> Result<ActorRef<M>, RegistryError> {
        match self.open_registry(namespace) {
            Some(registry) => registry.lookup(key),
            None => Err(RegistryError::NotFound { namespace, name: key.name().clone(), near: Default::default() }),
        }
    }

    /// The names in a namespace that have a live actor, sorted.
    pub fn list_services(&self, namespace: Namespace) -> Vec<ServiceName> {
        self.open_registry(namespace).map(|registry| registry.list_services()).unwrap_or_default()
    }

    /// The live actors of a namespace by name.
    pub fn get_all_services(&self, namespace: Namespace) -> BTreeMap<ServiceName, ActorCell> {
        self.open_registry(namespace).map(|registry| registry.live()).unwrap_or_default()
    }

    /// Whether a live actor has this name.
    pub fn is_registered<M>(&self, namespace: Namespace, key: &ServiceKey<M>) -> bool {
        self.open_registry(namespace).is_some_and(|registry| registry.is_registered(key))
    }

    /// How many names in a namespace have a live actor.
    pub fn count_services(&self, namespace: Namespace) -> usize {
        self.list_services(namespace).len()
    }

    /// A late-bound handle; the namespace is started if it is not up yet.
    ///
    /// # Errors
    /// As [`namespace`](Self::namespace).
    pub async fn via<M: Message>(&self, namespace: Namespace, key: &ServiceKey<M>) -> Result<Via<M>, RegistryError> {
        Ok(self.namespace(namespace).await?.via(key))
    }
}

impl Root for Shared {
    fn tree(self: Arc<Self>, namespace: Namespace) -> BoxFuture<'static, Tree> {
        async move { ProcessRegistry { shared: self }.namespace_tree(namespace).await }.boxed()
    }

    fn health(self: Arc<Self>, namespace: Namespace, limits: HealthLimits) -> BoxFuture<'static, Vec<ChildHealth>> {
        async move { ProcessRegistry { shared: self }.namespace_health(namespace, &limits).await }.boxed()
    }

    fn cleanup(self: Arc<Self>, namespace: Namespace) -> BoxFuture<'static, Result<CleanupReport, RegistryError>> {
        async move { ProcessRegistry { shared: self }.cleanup_namespace(namespace).await }.boxed()
    }
}
