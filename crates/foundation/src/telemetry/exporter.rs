//! Whoever is given the numbers at each tick.

use std::error::Error;

use super::scrape::Scrape;

/// Why an export failed.
pub type ExportError = Box<dyn Error + Send + Sync>;

/// Takes the numbers of a namespace somewhere else.
///
/// It is called by the telemetry actor at each tick, and once more when the service stops. It must not block: hand the numbers
/// over, to a channel say, and write them on a task of your own. A failure, a panic included, is counted in
/// `telemetry.failed_exports` and logged; the next tick comes all the same. Each closure of this form is one.
///
/// ```
/// use foundation::{Foundation, Scrape, TelemetryOptions};
/// use std::sync::mpsc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let (to, from) = mpsc::channel();
/// let to = std::sync::Mutex::new(to);
/// let options = TelemetryOptions::new().exporter(move |scrape: &Scrape| {
///     Ok(to.lock().map_err(|_| "poisoned")?.send(scrape.clone())?)
/// });
/// let foundation = Foundation::builder().telemetry(options).start().await?;
/// foundation.telemetry().count("orders");
/// foundation.shutdown().await;
/// let last = from.try_iter().last().expect("there is one when the service stops");
/// assert_eq!(last.to_snapshot().counter("orders"), Some(1));
/// # Ok(())
/// # }
/// ```
pub trait Exporter: Send + Sync + 'static {
    /// Takes what was read.
    ///
    /// # Errors
    /// Whatever went wrong, for the log.
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
