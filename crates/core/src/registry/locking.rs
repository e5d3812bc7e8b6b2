//! Mutual exclusion by name: the face of it.

use super::error::RegistryError;
use super::service_registry::ServiceRegistry;
use crate::namespace::ServiceName;

impl ServiceRegistry {
    /// Runs a future while nobody else in this namespace runs one under the same name: mutual exclusion for what concerns a
    /// name or a group but is no actor's own. Elixir's `Registry.lock`.
    ///
    /// Whoever comes first has it first; other names do not wait. The lock is free again when the future has ended, has
    /// panicked, or is dropped, while it runs as well as while it waits. It is not reentrant: a future that asks for the
    /// lock that it has waits for ever. A name costs nothing while nobody asks for it. Cost: a small lock shared by all who
    /// lock in this namespace, for the look into a map.
    ///
    /// ```
    /// use foundation_core::{Namespace, ProcessRegistry, ServiceName};
    ///
    /// const INVOICES: ServiceName = ServiceName::from_static("invoices");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let registry = ProcessRegistry::start().await?;
    /// let mine = registry.namespace(Namespace::test()).await?;
    /// let number = mine.lock(&INVOICES, async { 1_042 }).await?;
    /// assert_eq!(number, 1_042);
    /// registry.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RegistryError::NotRunning`] if the namespace ends before it is the future's turn; the future has not been polled
    /// then. One that runs already is not disturbed.
    pub async fn lock<T>(&self, name: &ServiceName, future: impl Future<Output = T>) -> Result<T, RegistryError> {
        let space = self.space();
        let _locked = tokio::select! {
            biased;
            () = space.table.closed() => return Err(RegistryError::NotRunning { namespace: self.namespace() }),
            locked = space.locks.lock(name) => locked,
        };
        Ok(future.await)
    }
}
