//! The trees of namespaces, with the names that their actors have.

use std::collections::HashMap;

use ractor::ActorId;
use tokio::time::timeout;

use super::builder::APPLICATION;
use super::process_registry::ProcessRegistry;
use super::service_registry::ServiceRegistry;
use crate::limits::HealthLimits;
use crate::namespace::Namespace;
use crate::supervisor::{ChildHealth, Tree, TreeStatus};

impl ProcessRegistry {
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

    pub(super) async fn namespace_tree(&self, namespace: Namespace) -> Tree {
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
    pub(super) async fn namespace_health(&self, namespace: Namespace, limits: &HealthLimits) -> Vec<ChildHealth> {
        let Ok(root) = self.root() else { return Vec::new() };
        match timeout(limits.answer, root.supervisor(namespace.to_string())).await {
            Ok(Ok(Some(supervisor))) => supervisor.health(limits).await.unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    fn names(&self) -> HashMap<ActorId, String> {
        let holders = self.open_registries().into_iter().flat_map(|registry| registry.state().table.holders());
        holders.filter_map(|holder| Some((holder.actor_id()?, holder.name().to_string()))).collect()
    }
}

impl ServiceRegistry {
    /// A snapshot of this namespace's tree: its services, its application, and the actors spawned under a name. A
    /// supervisor that does not answer [in time](crate::SupervisorLimits::tree) is shown as silent; a namespace that
    /// has stopped is a tree of one actor that is stopped.
    pub async fn tree(&self) -> Tree {
        match self.state().registry.upgrade() {
            Some(registry) => registry.tree(self.namespace()).await,
            None => Tree::unknown(format!("registry/{}", self.namespace()), TreeStatus::Stopped),
        }
    }

    /// The health of the children in this namespace that [count](crate::ChildSpec::in_health): its services, its
    /// application, and then its descendants, named by their paths from there. Empty if the namespace does not run.
    ///
    /// Each supervisor of the namespace is asked, and each check runs, all together; see [`HealthLimits`] for how long.
    pub async fn health(&self, limits: &HealthLimits) -> Vec<ChildHealth> {
        let Some(registry) = self.state().registry.upgrade() else { return Vec::new() };
        let (top, application) = (format!("registry/{}/", self.namespace()), format!("{APPLICATION}/"));
        let mut found = registry.health(self.namespace(), limits.clone()).await;
        for child in &mut found {
            let path = child.path.strip_prefix(&top).unwrap_or(&child.path);
            child.path = path.strip_prefix(&application).unwrap_or(path).to_owned();
        }
        found
    }
}
