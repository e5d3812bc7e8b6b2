//! All readings of a namespace, with their labels.

use std::sync::Arc;
use std::time::SystemTime;

use foundation_kernel::instruments::{Reading, Snapshot};
use foundation_kernel::names::{Namespace, ServiceRegistry};
use parking_lot::Mutex;
use serde::Serialize;

use crate::built_in::{SERVICE_FAILURES, SERVICE_HANDLING_NS, SERVICE_IDLE_SECONDS, SERVICE_MESSAGES};
use crate::labels::Labels;
use crate::service_limit::{ServiceFigures, ServiceLimit};
use crate::unit::Unit;

/// All counts and measurements of a namespace, read at one time: the input of exporters.
///
/// The readings are taken one after the other, not at one instant. Families are in the order of their names, series in
/// that of their labels.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Scrape {
    /// The namespace of the numbers.
    #[serde(serialize_with = "foundation_kernel::written::text")]
    pub namespace: Namespace,
    /// When the readings were taken.
    #[serde(with = "foundation_kernel::written::rfc3339")]
    pub taken_at: SystemTime,
    /// The families.
    pub families: Vec<MetricFamily>,
}

/// The series of one name, all of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MetricFamily {
    /// The name.
    #[serde(serialize_with = "foundation_kernel::written::shared")]
    pub name: Arc<str>,
    /// The kind: `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its description, if there is one.
    #[serde(serialize_with = "foundation_kernel::written::some_shared")]
    pub help: Option<Arc<str>>,
    /// The unit of its values, as they are here: that in which its name ends, or that which it [was
    /// given](crate::Telemetry::unit).
    pub unit: Option<Unit>,
    /// The series.
    pub series: Vec<Series>,
}

/// One series: a reading with its labels.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Series {
    /// Its labels.
    pub labels: Labels,
    /// Its reading.
    pub reading: Reading,
    /// When it began, at zero: that of a series that was retired and came back is later than before.
    #[serde(with = "foundation_kernel::written::rfc3339")]
    pub since: SystemTime,
    /// Of a counter and of a histogram's count: how much it grew a second, between the last two ticks.
    pub rate: Option<f64>,
}

impl Series {
    pub(crate) fn new(labels: Labels, since: SystemTime, reading: Reading) -> Self {
        Self { labels, reading, since, rate: None }
    }
}

impl MetricFamily {
    pub(crate) fn new(name: Arc<str>, kind: &'static str, series: impl IntoIterator<Item = Series>) -> Self {
        let unit = Unit::of_name(&name, kind);
        Self { name, kind, help: None, unit, series: series.into_iter().collect() }
    }

    /// The counts of a namespace's registry, and the measurements of its services, which have counted since this time.
    /// A service has series of its own if there is room.
    pub(crate) fn of_registry(
        registry: &ServiceRegistry,
        since: SystemTime,
        services: &Mutex<ServiceLimit>,
    ) -> Vec<Self> {
        let counted = registry.counters().into_iter().map(|(name, reading)| {
            let kind = reading.kind();
            Self::new(name.into(), kind, [Series::new(Labels::default(), since, reading)])
        });
        counted.chain(measured(registry, since, services)).collect()
    }
}

/// One series of a service in each of these families.
const FAMILIES: [(&str, &str); 4] = [
    (SERVICE_MESSAGES, "counter"),
    (SERVICE_FAILURES, "counter"),
    (SERVICE_IDLE_SECONDS, "gauge"),
    (SERVICE_HANDLING_NS, "histogram"),
];

/// The service whose series are the sum of those without room; no service has such a name.
const OTHER: &str = "_other";

fn measured(
    registry: &ServiceRegistry,
    since: SystemTime,
    services: &Mutex<ServiceLimit>,
) -> impl Iterator<Item = MetricFamily> {
    let (own, other) = {
        // Read with the lock held: figures that are older than those of the last reader would look like a new beginning.
        let mut services = services.lock();
        let measured = registry.measures().into_iter().map(|(service, measures)| (service, measures.into()));
        services.apply(measured.collect())
    };
    let own = own.iter().map(|(service, figures)| (service.as_str(), figures));
    let mut families = FAMILIES.map(|_| Vec::new());
    // In the order of the labels: `_` stands before all letters.
    for (service, figures) in other.iter().map(|other| (OTHER, other)).chain(own) {
        // A service's name is a value of a label as it stands.
        let Ok(labels) = Labels::new([("service", service)]) else { continue };
        for (family, reading) in families.iter_mut().zip(readings(figures)) {
            family.push(Series::new(labels.clone(), since, reading));
        }
    }
    let named = FAMILIES.into_iter().zip(families).filter(|(_, series)| !series.is_empty());
    named.map(|((name, kind), series)| MetricFamily::new(Arc::from(name), kind, series))
}

fn readings(figures: &ServiceFigures) -> [Reading; 4] {
    [
        Reading::Counter(figures.messages),
        Reading::Counter(figures.failures),
        Reading::Gauge(figures.idle.as_secs_f64()),
        Reading::Histogram(figures.handling_ns.clone()),
    ]
}

impl Scrape {
    /// The family of this name. Cost: a binary search.
    pub fn family(&self, name: &str) -> Option<&MetricFamily> {
        let found = self.families.binary_search_by(|family| (*family.name).cmp(name));
        found.ok().map(|position| &self.families[position])
    }

    /// The series of this name and of exactly these labels, in any order.
    pub fn series(&self, name: &str, labels: &[(&str, &str)]) -> Option<&Series> {
        let is_it = |series: &&Series| {
            series.labels.iter().len() == labels.len()
                && labels.iter().all(|(key, value)| series.labels.get(key) == Some(value))
        };
        self.family(name)?.series.iter().find(is_it)
    }

    /// The readings under flat names: those with labels are called `name{key="value",…}`.
    pub fn to_snapshot(&self) -> Snapshot {
        let series = self.families.iter().flat_map(|family| family.series.iter().map(move |it| (&family.name, it)));
        series.map(|(name, series)| (format!("{name}{}", series.labels), series.reading.clone())).collect()
    }
}
