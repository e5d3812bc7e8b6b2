//! Instruments of one name, distinguished by labels.

use std::fmt;
use std::sync::Arc;

use foundation_kernel::instruments::Counter;

use super::{Instrument, SeriesTable};
use crate::error::TelemetryError;
use crate::labels::Labels;

/// The counters, gauges or histograms of one name, one for each set of labels.
///
/// The number of series is bounded. Counts that have no room for their labels go to one series, labelled
/// `overflow="true"`, and a warning is logged the first time. Series of counters and histograms that have no holder and
/// have not changed for [`idle_after`](crate::TelemetryOptions::idle_after) are retired; later counts under their
/// labels begin at zero.
///
/// # Cost
///
/// [`with`](Self::with) validates the labels, takes a read lock and costs some hundred nanoseconds; what it returns
/// costs what the instrument costs, a few nanoseconds, and may be kept without limit.
///
/// ```
/// use foundation_kernel::instruments::Counter;
/// use foundation_kernel::names::{Namespace, ProcessRegistry};
/// use foundation_telemetry::{Telemetry, TelemetryOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let root = ProcessRegistry::builder()
/// #     .service(Telemetry::service(TelemetryOptions::new()))
/// #     .start().await?;
/// # let telemetry = Telemetry::of(&root.namespace(Namespace::Production).await?);
/// let requests = telemetry.family::<Counter>("http.requests", 50)?;
/// let found = requests.with([("method", "GET"), ("status", "200")])?;
/// found.increment();
///
/// let snapshot = telemetry.snapshot();
/// assert_eq!(snapshot.counter(r#"http.requests{method="GET",status="200"}"#), Some(1));
/// root.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub struct Family<K: Instrument> {
    name: Arc<str>,
    table: Arc<SeriesTable<K>>,
    /// Counts the updates whose labels are refused.
    unrecorded: Arc<SeriesTable<Counter>>,
}

impl<K: Instrument> Family<K> {
    /// The first limit of a name is final.
    pub(crate) fn new(
        name: &str,
        limit: usize,
        table: Arc<SeriesTable<K>>,
        unrecorded: &Arc<SeriesTable<Counter>>,
    ) -> Self {
        table.set_limit(limit);
        Self { name: name.into(), table, unrecorded: Arc::clone(unrecorded) }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The instrument of these labels, in any order, made if there is none. A series is not retired while it is held.
    ///
    /// # Errors
    /// [`TelemetryError::InvalidLabels`] names the label and what is wrong with it.
    pub fn with<L: AsRef<str>, V: AsRef<str>>(
        &self,
        labels: impl IntoIterator<Item = (L, V)>,
    ) -> Result<Arc<K>, TelemetryError> {
        let labels = Labels::new(labels);
        let labels = labels.map_err(|error| TelemetryError::InvalidLabels { name: self.name.to_string(), error })?;
        Ok(self.table.series(&labels))
    }

    /// The instrument of labels that have been validated before.
    pub fn of(&self, labels: &Labels) -> Arc<K> {
        self.table.series(labels)
    }

    /// Updates the instrument of these labels; if they are refused, counts that in `telemetry.unrecorded` instead.
    pub fn update<L: AsRef<str>, V: AsRef<str>>(
        &self,
        labels: impl IntoIterator<Item = (L, V)>,
        change: impl FnOnce(&K),
    ) {
        match self.with(labels) {
            Ok(instrument) => change(&instrument),
            Err(_) => self.unrecorded.bare().increment(),
        }
    }

    /// Removes a series: a gauge of something that has ended, say. Its holders then change it unseen. False if there is
    /// none.
    pub fn remove(&self, labels: &Labels) -> bool {
        self.table.remove(labels)
    }
}

impl<K: Instrument> Clone for Family<K> {
    fn clone(&self) -> Self {
        let Self { name, table, unrecorded } = self;
        Self { name: Arc::clone(name), table: Arc::clone(table), unrecorded: Arc::clone(unrecorded) }
    }
}

impl<K: Instrument> fmt::Debug for Family<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Family({})", self.name)
    }
}
