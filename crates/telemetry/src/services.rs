//! The counts of a namespace's registry, and the measurements of its services, as families of series.

use std::sync::Arc;

use foundation_kernel::{Reading, ServiceMeasures, ServiceName, ServiceRegistry};

use super::labels::Labels;
use super::scrape::{MetricFamily, Series};

/// One series of a service in each of these families.
const FAMILIES: [(&str, &str); 4] = [
    ("service.messages", "counter"),
    ("service.failures", "counter"),
    ("service.idle_seconds", "gauge"),
    ("service.handling_ns", "histogram"),
];

pub(super) fn families(registry: &ServiceRegistry) -> Vec<MetricFamily> {
    let counted = registry.counters().into_iter().map(|(name, reading)| {
        let kind = reading.kind();
        MetricFamily::new(name.into(), kind, vec![Series::new(Labels::default(), reading)])
    });
    counted.chain(measured(registry)).collect()
}

fn measured(registry: &ServiceRegistry) -> impl Iterator<Item = MetricFamily> {
    let mut families = FAMILIES.map(|(name, kind)| MetricFamily::new(Arc::from(name), kind, Vec::new()));
    for (service, measures) in registry.measures() {
        for (family, series) in families.iter_mut().zip(of_one(&service, measures)) {
            family.series.extend(series);
        }
    }
    families.into_iter().filter(|family| !family.series.is_empty())
}

fn of_one(service: &ServiceName, measures: ServiceMeasures) -> [Option<Series>; 4] {
    let ServiceMeasures { messages, failures, idle, handling_ns, .. } = measures;
    let readings = [
        Reading::Counter(messages),
        Reading::Counter(failures),
        Reading::Gauge(idle.as_secs_f64()),
        Reading::Histogram(handling_ns),
    ];
    // A service's name is a value of a label as it stands.
    readings.map(|reading| Some(Series::new(Labels::new([("service", service.as_str())]).ok()?, reading)))
}
