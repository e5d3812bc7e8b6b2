//! A pool as a child of the application of a namespace.

use foundation_kernel::supervision::ChildSpec;
use foundation_pool::{PoolSpec, Worker};

use super::observer::PoolRecords;
use crate::services::Services;

// Here and not with the type, whose file knows nothing of pools.
impl Services {
    /// A pool as a child of the application, under this name: what happens to it is
    /// [recorded](crate::FoundationBuilder::record_pools) and measured, and it counts in the [health](Self::health).
    ///
    /// The name is that of the child, and the label of its measurements. Further pools of the same specification are the same
    /// pool; their names are those of the first one.
    ///
    /// ```
    /// use foundation::Foundation;
    /// use foundation::pool::{JobContext, JobFailure, PoolSpec, Worker};
    /// use std::time::Duration;
    ///
    /// struct Doubler;
    ///
    /// impl Worker for Doubler {
    ///     type Job = u64;
    ///     type Output = u64;
    ///     async fn perform(&mut self, job: &mut u64, _: &JobContext<'_>) -> Result<u64, JobFailure> {
    ///         Ok(*job * 2)
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let foundation = Foundation::builder().start().await?;
    /// let spec = PoolSpec::new(|_slot| async { Ok(Doubler) });
    /// let doublers = spec.handle();
    /// let services = foundation.production();
    /// services.supervise(services.pool_spec("doublers", &spec)).await?;
    /// assert_eq!(doublers.call(21, Duration::from_secs(5)).await?, 42);
    /// foundation.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn pool_spec<W: Worker>(&self, name: &str, spec: &PoolSpec<W>) -> ChildSpec {
        let records = self.registry().extension(PoolRecords::default);
        let pool = spec.handle();
        pool.observe(records.observer(self.registry(), name));
        spec.child(name).health_check(move |_| {
            let health = pool.health();
            async move { health }
        })
    }
}
