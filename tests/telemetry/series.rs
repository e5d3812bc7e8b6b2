//! Instruments that differ by their labels.

use foundation::telemetry::{Counter, Gauge, Histogram, Labels, TelemetryError};
use foundation::{Telemetry, TestNamespace};
use foundation_testkit::error_text;

#[foundation::test]
async fn series_of_one_name_are_distinguished_by_their_labels(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let requests = telemetry.family::<Counter>("requests", 10).unwrap();
    requests.with([("method", "GET"), ("status", "200")]).unwrap().add(2);
    requests.with([("status", "200"), ("method", "GET")]).unwrap().increment();
    requests.update([("method", "PUT")], Counter::increment);
    telemetry.count("requests");
    telemetry.family::<Histogram>("took", 10).unwrap().update([("method", "GET")], |it| it.record(2.0));
    telemetry.family::<Gauge>("open", 10).unwrap().update([("pool", "a")], |it| it.set(3.0));

    let snapshot = telemetry.snapshot();
    assert_eq!(snapshot.counter(r#"requests{method="GET",status="200"}"#), Some(3));
    assert_eq!(snapshot.counter(r#"requests{method="PUT"}"#), Some(1));
    assert_eq!(snapshot.counter("requests"), Some(1));
    assert_eq!(snapshot.histogram(r#"took{method="GET"}"#).unwrap().sum, 2.0);
    assert_eq!(snapshot.gauge(r#"open{pool="a"}"#), Some(3.0));
}

#[foundation::test]
async fn labels_beyond_the_limit_count_in_one_series_and_no_count_is_lost(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let users = telemetry.family::<Counter>("users", 3).unwrap();
    for user in 0..5_000 {
        users.with([("user", user.to_string())]).unwrap().increment();
    }
    // Existing series are kept.
    users.with([("user", "1")]).unwrap().increment();
    let scrape = telemetry.scrape();
    let counts = |labels: &[(&str, &str)]| scrape.to_snapshot().counter(&name(labels));
    assert_eq!(scrape.family("users").unwrap().series.len(), 4);
    assert_eq!((counts(&[("user", "1")]), counts(&[("user", "3")])), (Some(2), None));
    assert_eq!(counts(&[("overflow", "true")]), Some(4_997));
}

fn name(labels: &[(&str, &str)]) -> String {
    let labels = labels.iter().map(|(key, value)| format!("{key}=\"{value}\""));
    format!("users{{{}}}", labels.collect::<Vec<_>>().join(","))
}

#[foundation::test]
async fn families_share_the_capacity_of_their_namespace_and_release_it(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let users = telemetry.family::<Gauge>("users", usize::MAX).unwrap();
    for user in 0..Telemetry::MAX_INSTRUMENTS + 10 {
        users.with([("user", user.to_string())]).unwrap().set(1.0);
    }
    let series = telemetry.scrape().family("users").unwrap().series.len();
    // One place is the name's; the series of the overflow has none.
    assert_eq!(series, Telemetry::MAX_INSTRUMENTS);
    assert!(matches!(telemetry.counter("one.more"), Err(TelemetryError::TooManyInstruments { .. })));
    assert!(users.remove(&Labels::new([("user", "7")]).unwrap()));
    assert!(!users.remove(&Labels::new([("user", "7")]).unwrap()));
    assert!(telemetry.counter("one.more").is_ok());
}

#[foundation::test]
async fn a_family_belongs_to_one_kind(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    telemetry.family::<Counter>("requests", 10).unwrap();
    let error = error_text(telemetry.family::<Gauge>("requests", 10));
    assert_eq!(error, "requests is a counter, not a gauge; give the gauge another name");
    assert!(telemetry.counter("requests").is_ok());
}

#[foundation::test]
async fn labels_that_are_refused_fail_a_request_and_not_an_update(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let requests = telemetry.family::<Counter>("requests", 10).unwrap();
    let error = error_text(requests.with([("le", "1")]));
    assert_eq!(
        error,
        r#"requests has no series of these labels: label "le" is reserved: exporters write it themselves"#
    );
    requests.update([("le", "1")], Counter::increment);
    assert_eq!(telemetry.snapshot().counter("telemetry.unrecorded"), Some(1));
}
