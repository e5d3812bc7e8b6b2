//! Mutual exclusion by name: the public methods.

use super::error::RegistryError;
use super::service_registry::ServiceRegistry;
use crate::namespace::ServiceName;

impl ServiceRegistry {
    /// Runs a future while no other caller in this namespace runs one under the same name: mutual exclusion for work on
    /// a name or a group that no actor owns. Elixir's `Registry.lock`.
    ///
    /// Callers are served in order; other names do not wait. The lock is released when the future has ended, has
    /// panicked, or is dropped, be it running or waiting. It is not reentrant: a future that asks for a lock that it
    /// has waits for ever. An unused name costs nothing. Cost: a small lock shared by all callers in this namespace,
    /// for the lookup in a map.
    ///
    /// ```
    /// use foundation_kernel::{Namespace, ProcessRegistry, ServiceName};
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
    /// [`RegistryError::NotRunning`] if the namespace ends before the future's turn; the future has not been polled
    /// then. A running future is not disturbed.
    pub async fn lock<T>(&self, name: &ServiceName, future: impl Future<Output = T>) -> Result<T, RegistryError> {
        let state = self.state();
        let _locked = tokio::select! {
            biased;
            () = state.table.closed() => return Err(RegistryError::NotRunning { namespace: self.namespace() }),
            locked = state.locks.lock(name) => locked,
        };
        Ok(future.await)
    }
}
