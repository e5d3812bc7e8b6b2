//! What the exporters of a namespace share: the registered ones, the formats, and the numbers of the moment.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use foundation_events::EventStore;
use foundation_kernel::catalog::Catalog;
use foundation_kernel::instruments::Counter;
use foundation_kernel::names::{ServiceName, ServiceRegistry};
use foundation_kernel::supervision::DynamicSupervisor;
use foundation_telemetry::{Telemetry, built_in};
use parking_lot::{Mutex, RwLock};
use tokio::sync::broadcast;
use tokio::time::{Instant, timeout};

use crate::batch::Batch;
use crate::entry::Entry;
use crate::event::ExportEvent;
use crate::format::{AnyFormat, Csv, Format, Json, OpenMetrics, PrometheusText};

/// How long recording an event may take.
const RECORD: Duration = Duration::from_secs(2);
const MAX_EXPORTERS: usize = 64;
const MAX_FORMATS: usize = 64;
/// The default number of series of a batch.
const MAX_SERIES: usize = 20_000;
const MAX_UNREAD: usize = 256;

/// It belongs to the namespace, and outlives the supervisor and the tasks.
pub(crate) struct Shared {
    pub(crate) exporters: Catalog<Entry>,
    pub(crate) formats: Catalog<AnyFormat>,
    telemetry: Telemetry,
    pub(crate) events: EventStore,
    latest: Mutex<Option<Arc<Reading>>>,
    supervisor: RwLock<Option<DynamicSupervisor>>,
    changes: broadcast::Sender<ExportEvent>,
    /// How many series a batch may have.
    max_series: AtomicUsize,
}

/// Numbers that are read, or are being read by the first that needs them.
struct Reading {
    begun: Instant,
    batch: OnceLock<Batch>,
}

impl Shared {
    pub(crate) fn new(names: &ServiceRegistry) -> Self {
        let shared = Self {
            exporters: Catalog::new("exporter", MAX_EXPORTERS),
            formats: Catalog::new("format", MAX_FORMATS),
            telemetry: Telemetry::of(names),
            events: EventStore::of(names),
            latest: Mutex::default(),
            supervisor: RwLock::default(),
            changes: broadcast::Sender::new(MAX_UNREAD),
            max_series: AtomicUsize::new(MAX_SERIES),
        };
        // Their names are valid and differ.
        built_in_formats().into_iter().for_each(|format| drop(shared.formats.insert(format.name, format)));
        shared
    }

    /// Registers a format.
    pub(crate) fn register_format<F: Format>(&self) -> Result<(), foundation_kernel::catalog::CatalogError> {
        self.formats.insert(F::NAME, AnyFormat::of::<F>()).map(drop)
    }

    // ---- numbers ----

    /// Numbers that are not older than this: those that another exporter reads or has read, or those of now.
    pub(crate) fn batch(&self, not_older_than: Instant) -> Batch {
        let reading = {
            let mut latest = self.latest.lock();
            match &*latest {
                Some(reading) if reading.begun >= not_older_than => Arc::clone(reading),
                _ => {
                    let reading = Arc::new(Reading { begun: Instant::now(), batch: OnceLock::new() });
                    *latest = Some(Arc::clone(&reading));
                    reading
                }
            }
        };
        // Not under the lock. Others who want the same numbers wait for them.
        let max_series = self.max_series.load(Ordering::Relaxed);
        let batch = reading.batch.get_or_init(|| Batch::new(self.telemetry.scrape(), max_series));
        if !batch.is_shown() {
            self.show(&ExportEvent::BatchTaken { series: batch.series(), dropped: batch.dropped() });
        }
        batch.clone()
    }

    pub(crate) fn set_max_series(&self, series: usize) {
        self.max_series.store(series, Ordering::Relaxed);
        // Numbers that were read under the other limit serve no later export.
        let before = self.latest.lock().take();
        drop(before);
    }

    /// Counts series that an exporter has left out.
    pub(crate) fn count_dropped(&self, exporter: &ServiceName, series: usize) {
        if series == 0 {
            return;
        }
        if let Ok(family) = self.telemetry.family::<Counter>(built_in::EXPORT_SERIES_DROPPED, MAX_EXPORTERS) {
            family.update([("exporter", exporter.as_str())], |counter| counter.add(series as u64));
        }
    }

    // ---- events ----

    pub(crate) fn watch(&self) -> broadcast::Receiver<ExportEvent> {
        self.changes.subscribe()
    }

    /// Shows an event to the watchers and to the handlers of telemetry.
    fn show(&self, event: &ExportEvent) {
        let shown = foundation_kernel::containment::catch_panic(|| drop(self.changes.send(event.clone())));
        drop(shown);
        self.telemetry.execute(event.telemetry_name(), &[], &event.details());
    }

    /// Shows an event, and records it if the event store takes it soon.
    pub(crate) async fn record(&self, event: ExportEvent) {
        self.show(&event);
        let Some(new) = event.recorded() else { return };
        match timeout(RECORD, self.events.append(new)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, name = event.telemetry_name(), "an event of exports is not recorded")
            }
            Err(_) => tracing::warn!(name = event.telemetry_name(), "an event of exports was not recorded in time"),
        }
    }

    // ---- the supervisor ----

    pub(crate) fn supervised_by(&self, supervisor: DynamicSupervisor) {
        let before = self.supervisor.write().replace(supervisor);
        foundation_kernel::containment::drop_contained("a former supervisor of exporters", before);
    }

    pub(crate) fn supervisor(&self) -> Option<DynamicSupervisor> {
        let supervisor = self.supervisor.read().clone()?;
        supervisor.is_running().then_some(supervisor)
    }
}

fn built_in_formats() -> Vec<AnyFormat> {
    vec![
        AnyFormat::of::<Csv>(),
        AnyFormat::of::<Json>(),
        AnyFormat::of::<OpenMetrics>(),
        AnyFormat::of::<PrometheusText>(),
        #[cfg(feature = "otlp")]
        AnyFormat::of::<crate::otlp::Otlp>(),
        #[cfg(feature = "statsd")]
        AnyFormat::of::<crate::statsd::Statsd>(),
        #[cfg(feature = "statsd")]
        AnyFormat::of::<crate::statsd::DogStatsd>(),
    ]
}
