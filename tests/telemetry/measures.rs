//! The measurements of a namespace's services in its telemetry.

use std::collections::BTreeMap;
use std::time::Duration;

use foundation::names::Measurement;
use foundation::telemetry::{Histogram, Reading, TelemetryOptions};
use foundation::{ConfigServer, Foundation, NewEvent, TestNamespace};

#[foundation::test]
async fn the_snapshot_has_the_measurements_of_each_service(namespace: TestNamespace) {
    let before = namespace.telemetry().snapshot();
    namespace.config().status().await.unwrap();
    namespace.config().status().await.unwrap();
    let after = namespace.telemetry().snapshot();

    let name = |measure: &str| format!("service.{measure}{{service=\"{}\"}}", ConfigServer::NAME);
    let handled = |snapshot: &foundation::telemetry::Snapshot| snapshot.counter(&name("messages")).unwrap_or(0);
    assert_eq!(handled(&after) - handled(&before), 2);
    assert_eq!(after.counter(&name("failures")), Some(0));
    assert!(after.gauge(&name("idle_seconds")).is_some_and(|idle| idle >= 0.0));
    assert!(after.histogram(&name("handling_ns")).is_some_and(|it| it.count >= 1 && it.max > Some(0.0)));
}

#[foundation::test(start_paused = true)]
async fn the_idle_time_of_a_service_is_shown_in_seconds(namespace: TestNamespace) {
    namespace.config().status().await.unwrap();
    tokio::time::advance(Duration::from_secs(90)).await;
    let snapshot = namespace.telemetry().snapshot();
    assert_eq!(snapshot.gauge("service.idle_seconds{service=\"config_server\"}"), Some(90.0));
}

#[tokio::test]
async fn a_foundation_that_does_not_measure_has_no_figures_of_its_services() {
    let foundation = Foundation::builder().measurement(Measurement::Off).start().await.unwrap();
    foundation.events().append(NewEvent::new("looked_at").unwrap()).await.unwrap();
    let snapshot = foundation.telemetry().snapshot();
    assert!(!snapshot.iter().any(|(name, _)| name.starts_with("service.")), "{snapshot}");
    foundation.shutdown().await;
}

#[tokio::test]
async fn services_beyond_the_limit_are_summed_in_one_series() {
    let options = TelemetryOptions::new().max_services(1);
    let foundation = Foundation::builder().telemetry(options).start().await.unwrap();
    foundation.config().status().await.unwrap();
    foundation.events().append(NewEvent::new("looked_at").unwrap()).await.unwrap();
    foundation.telemetry().health().await;
    let (measured, scrape) = (foundation.production().registry().measures(), foundation.telemetry().scrape());
    assert!(measured.len() > 1);
    let messages = scrape.family("service.messages").unwrap();
    let services: Vec<_> = messages.series.iter().map(|series| series.labels.get("service").unwrap()).collect();
    assert_eq!((services.len(), services[0]), (2, "_other"));
    let counted = messages.series.iter().map(|series| match series.reading {
        Reading::Counter(count) => count,
        _ => 0,
    });
    assert_eq!(counted.sum::<u64>(), measured.iter().map(|(_, it)| it.messages).sum::<u64>());
    foundation.shutdown().await;
}

#[foundation::test]
async fn the_median_over_services_of_different_speed_is_right(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let took = telemetry.family::<Histogram>("took", 10).unwrap();
    for (service, value) in [("a", 300.0), ("b", 3_000.0), ("c", 30_000.0)] {
        took.update([("service", service)], |it| it.record(value));
    }
    // As `histogram_quantile(q, sum by (le) (…))` computes it: the first bound up to which enough values lie.
    let mut sums = BTreeMap::<u64, f64>::new();
    for line in telemetry.prometheus().lines().filter(|line| line.starts_with("took_bucket")) {
        let (bound, count) = line.split_once("le=\"").unwrap().1.split_once("\"} ").unwrap();
        let bound = if bound == "+Inf" { u64::MAX } else { bound.parse::<f64>().unwrap() as u64 };
        *sums.entry(bound).or_default() += count.parse::<f64>().unwrap();
    }
    let up_to = |quantile: f64| *sums.iter().find(|(_, count)| **count >= quantile * 3.0).unwrap().0;
    assert_eq!([0.25, 0.5, 0.75].map(up_to), [1_024, 4_096, 65_536]);
}
