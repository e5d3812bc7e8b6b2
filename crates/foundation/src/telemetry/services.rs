//! What is measured of the services of a namespace, as readings.

use foundation_core::{Reading, ServiceMeasures, ServiceName, ServiceRegistry};

/// The readings of all services that have been measured: `service.messages{service="…"}` and so on.
pub(super) fn readings(registry: &ServiceRegistry) -> impl Iterator<Item = (String, Reading)> {
    registry.measures().into_iter().flat_map(|(service, measures)| of_one(&service, measures))
}

fn of_one(service: &ServiceName, measures: ServiceMeasures) -> [(String, Reading); 4] {
    let ServiceMeasures { messages, failures, idle, handling_ns, .. } = measures;
    [
        ("messages", Reading::Counter(messages)),
        ("failures", Reading::Counter(failures)),
        ("idle_seconds", Reading::Gauge(idle.as_secs_f64())),
        ("handling_ns", Reading::Histogram(handling_ns)),
    ]
    // A service's name has nothing in it that would have to be escaped.
    .map(|(measure, reading)| (format!("service.{measure}{{service=\"{service}\"}}"), reading))
}
