//! Picks and checks as measurements of telemetry.

use std::sync::Arc;
use std::time::Duration;

use foundation_discovery::{DiscoveryMeter, PickCounters};
use foundation_kernel::instruments::{Counter, Histogram};
use foundation_kernel::names::{ServiceName, ServiceRegistry};
use foundation_kernel::supervision::BoxError;
use foundation_telemetry::{Family, Telemetry, TelemetryError, built_in};

use super::instance_counts::MAX_SERVICES;

/// The most checks of services that are measured apart; the others are measured together.
const MAX_CHECKS: usize = 1_024;
/// The outcomes of picks.
const OUTCOMES: usize = 7;

/// Measures in the telemetry of the namespace.
pub(super) struct TelemetryMeter;

impl DiscoveryMeter for TelemetryMeter {
    fn picks(&self, names: &ServiceRegistry, service: &ServiceName) -> Result<PickCounters, BoxError> {
        let (telemetry, mut counters) = (Telemetry::of(names), PickCounters::default());
        let of = |counter: &mut Arc<Counter>, name, limit, outcome: Option<&str>| {
            let labels = [("service", service.as_str())].into_iter().chain(outcome.map(|it| ("outcome", it)));
            *counter = telemetry.family(name, limit).and_then(|family: Family<Counter>| family.with(labels))?;
            Ok::<(), TelemetryError>(())
        };
        let picks = (built_in::DISCOVERY_PICKS, MAX_SERVICES * OUTCOMES);
        of(&mut counters.succeeded, picks.0, picks.1, Some("succeeded"))?;
        of(&mut counters.failed, picks.0, picks.1, Some("failed"))?;
        of(&mut counters.cancelled, picks.0, picks.1, Some("cancelled"))?;
        of(&mut counters.cast, picks.0, picks.1, Some("cast"))?;
        of(&mut counters.none_fits, picks.0, picks.1, Some("none_fits"))?;
        of(&mut counters.other_message, picks.0, picks.1, Some("other_message"))?;
        of(&mut counters.none_in_rotation, picks.0, picks.1, Some("none_in_rotation"))?;
        of(&mut counters.fail_open, built_in::DISCOVERY_FAIL_OPEN_PICKS, MAX_SERVICES, None)?;
        Ok(counters)
    }

    fn check_ran(&self, names: &ServiceRegistry, service: &ServiceName, check: &str, took: Duration) {
        let family = Telemetry::of(names).family::<Histogram>(built_in::DISCOVERY_CHECK_DURATION_MS, MAX_CHECKS);
        if let Ok(family) = family {
            let labels = [("service", service.as_str()), ("check", check)];
            family.update(labels, |histogram| histogram.record(took.as_secs_f64() * 1e3));
        }
    }
}
