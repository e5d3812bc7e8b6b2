//! Receivers of the numbers at each tick.

use std::error::Error;

use super::scrape::Scrape;

/// Why an export failed.
pub type ExportError = Box<dyn Error + Send + Sync>;

/// Takes the numbers of a namespace somewhere else.
///
/// It is called at each tick, and once more when the service stops, on a thread of its own: it may block without
/// holding up anything else. It is called within the runtime, so that it may spawn tasks. Calls do not overlap in a
/// namespace. Numbers that come while it is busy wait for it, and are replaced by newer ones, which is counted in
/// `telemetry.skipped_exports`, and logged the first time. The end of the service waits for it for at most
/// [`TelemetryLimits::export`](crate::TelemetryLimits::export).
///
/// A failure, a panic included, is counted in `telemetry.failed_exports` and logged; the next tick comes nevertheless.
/// Each closure of this form is one.
///
/// ```
/// use foundation_kernel::{Namespace, ProcessRegistry};
/// use foundation_telemetry::{Scrape, Telemetry, TelemetryOptions};
/// use std::sync::mpsc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let (to, from) = mpsc::channel();
/// let to = std::sync::Mutex::new(to);
/// let options = TelemetryOptions::new().exporter(move |scrape: &Scrape| {
///     Ok(to.lock().map_err(|_| "poisoned")?.send(scrape.clone())?)
/// });
/// let root = ProcessRegistry::builder()
///     .services(move |names| vec![Telemetry::child_spec(names, &options)])
///     .start().await?;
/// let telemetry = Telemetry::of(&root.namespace(Namespace::Production).await?);
/// telemetry.count("orders");
/// root.shutdown().await;
/// let last = from.try_iter().last().expect("there is one when the service stops");
/// assert_eq!(last.to_snapshot().counter("orders"), Some(1));
/// # Ok(())
/// # }
/// ```
pub trait Exporter: Send + Sync + 'static {
    /// Exports the numbers.
    ///
    /// # Errors
    /// The cause of the failure, for the log.
    fn export(&self, scrape: &Scrape) -> Result<(), ExportError>;
}

impl<F> Exporter for F
where
    F: Fn(&Scrape) -> Result<(), ExportError> + Send + Sync + 'static,
{
    fn export(&self, scrape: &Scrape) -> Result<(), ExportError> {
        self(scrape)
    }
}
