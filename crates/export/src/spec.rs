//! The specification of an exporter.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::exporter::{ExportFault, Exported, Exporter, Target};
use crate::retry::ExportRetry;
use crate::schedule::ExportSchedule;
use crate::source::Source;

const DEFAULT_PERIOD: Duration = Duration::from_secs(15);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// The specification of an exporter.
///
/// | | default | set by |
/// |---|---|---|
/// | when it exports | every 15 s | [`schedule`](Self::schedule) |
/// | the longest attempt | 5 s | [`timeout`](Self::timeout) |
/// | attempts | 4, within the period and 5 min | [`retry`](Self::retry) |
#[derive(Clone)]
pub struct ExporterSpec {
    pub(crate) format: &'static str,
    pub(crate) make: MakeExporter,
    pub(crate) schedule: ExportSchedule,
    pub(crate) timeout: Duration,
    pub(crate) retry: ExportRetry,
}

type MakeExporter = Arc<dyn Fn() -> Box<dyn AnyExporter> + Send + Sync>;

impl ExporterSpec {
    /// An exporter of numbers that is made by this function, anew for each life of its task.
    pub fn new<E: Exporter>(make: impl Fn() -> E + Send + Sync + 'static) -> Self {
        Self::of(E::FORMAT, Arc::new(move || Box::new(make())))
    }

    pub(crate) fn of(format: &'static str, make: MakeExporter) -> Self {
        // The period is within the limits of a schedule.
        let schedule = ExportSchedule::every(DEFAULT_PERIOD).unwrap_or_else(|_| ExportSchedule::on_demand());
        Self { format, make, schedule, timeout: DEFAULT_TIMEOUT, retry: ExportRetry::default() }
    }

    /// When it exports.
    pub fn schedule(self, schedule: ExportSchedule) -> Self {
        Self { schedule, ..self }
    }

    /// How long an attempt may take; then its future is dropped. It is dropped at the latest when the period is over.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// How often an export is tried.
    pub fn retry(self, retry: ExportRetry) -> Self {
        Self { retry, ..self }
    }
}

impl fmt::Debug for ExporterSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExporterSpec")
            .field("format", &self.format)
            .field("schedule", &self.schedule)
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

/// An exporter without its type.
pub(crate) trait AnyExporter: Send {
    fn target(&self) -> Target;
    fn validate(&self, source: &Source<'_>) -> Result<(), ExportFault>;
    /// An attempt, which may take as long as this.
    fn export<'a>(
        &'a mut self,
        source: &'a Source<'a>,
        limit: Duration,
    ) -> BoxFuture<'a, Result<Exported, ExportFault>>;
    fn flush(&mut self) -> BoxFuture<'_, Result<(), ExportFault>>;
}

impl<E: Exporter> AnyExporter for E {
    fn target(&self) -> Target {
        Exporter::target(self)
    }

    fn validate(&self, source: &Source<'_>) -> Result<(), ExportFault> {
        Exporter::validate(self, source.batch())
    }

    fn export<'a>(
        &'a mut self,
        source: &'a Source<'a>,
        limit: Duration,
    ) -> BoxFuture<'a, Result<Exported, ExportFault>> {
        self.set_limit(limit);
        Box::pin(Exporter::export(self, source.batch()))
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<(), ExportFault>> {
        Box::pin(Exporter::flush(self))
    }
}
