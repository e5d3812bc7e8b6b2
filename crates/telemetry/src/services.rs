//! The counts of a namespace's registry, and the measurements of its services, as families of series.

use std::sync::Arc;

use foundation_kernel::{Reading, ServiceMeasures, ServiceRegistry};

use crate::labels::Labels;
use crate::scrape::MetricFamily;

/// One series of a service in each of these families.
const FAMILIES: [(&str, &str); 4] = [
    ("service.messages", "counter"),
    ("service.failures", "counter"),
    ("service.idle_seconds", "gauge"),
    ("service.handling_ns", "histogram"),
];

pub(crate) fn families(registry: &ServiceRegistry) -> Vec<MetricFamily> {
    let counted = registry.counters().into_iter().map(|(name, reading)| {
        let kind = reading.kind();
        MetricFamily::new(name.into(), kind, [(Labels::default(), reading)])
    });
    counted.chain(measured(registry)).collect()
}

fn measured(registry: &ServiceRegistry) -> impl Iterator<Item = MetricFamily> {
    let mut families = FAMILIES.map(|_| Vec::new());
    for (service, measures) in registry.measures() {
        // A service's name is a value of a label as it stands.
        let Ok(labels) = Labels::new([("service", service.as_str())]) else { continue };
        for (family, reading) in families.iter_mut().zip(readings(measures)) {
            family.push((labels.clone(), reading));
        }
    }
    let named = FAMILIES.into_iter().zip(families).filter(|(_, series)| !series.is_empty());
    named.map(|((name, kind), series)| MetricFamily::new(Arc::from(name), kind, series))
}

fn readings(measures: ServiceMeasures) -> [Reading; 4] {
    let ServiceMeasures { messages, failures, idle, handling_ns, .. } = measures;
    [
        Reading::Counter(messages),
        Reading::Counter(failures),
        Reading::Gauge(idle.as_secs_f64()),
        Reading::Histogram(handling_ns),
    ]
}
