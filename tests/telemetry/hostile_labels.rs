//! Attacks: invalid names and labels, and too many of them.

use foundation::TestNamespace;
use foundation::telemetry::{Counter, Gauge, TelemetryError};
use foundation_testkit::assert_error;
use serde_json::Value;

const HOSTILE: [&str; 8] = [
    "",
    "a\nevil_metric 1",
    "a\"} 1\nevil{b=\"",
    "a{b=\"c\"}",
    "a\0b",
    "\u{1b}[31mred",
    "'; DROP TABLE metrics; --",
    "\u{202e}drawkcab",
];

#[foundation::test]
async fn invalid_names_are_refused_by_every_method_and_counted_by_those_that_cannot_fail(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let long = "a".repeat(1_000_000);
    let names = || HOSTILE.into_iter().chain([&*long]);
    for name in names() {
        let refused = [
            telemetry.counter(name).unwrap_err(),
            telemetry.gauge(name).unwrap_err(),
            telemetry.histogram(name).unwrap_err(),
            telemetry.family::<Counter>(name, 10).unwrap_err(),
            telemetry.describe(name, "a description").unwrap_err(),
        ];
        for error in refused {
            assert!(matches!(error, TelemetryError::InvalidName { .. }));
            let text = error.to_string();
            assert!(text.len() < 1_000 && !text.contains(char::is_control), "{text}");
        }
        telemetry.count(name);
        telemetry.execute(name, &[], &Value::Null);
    }
    let snapshot = telemetry.snapshot();
    assert_eq!(snapshot.counter("telemetry.unrecorded"), Some(2 * names().count() as u64));
    assert!(snapshot.iter().all(|(name, _)| name.is_ascii()));
}

#[foundation::test]
async fn labels_and_descriptions_cannot_forge_lines(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let family = telemetry.family::<Counter>("requests", 100).unwrap();
    let long = "a".repeat(1_000_000);
    for text in HOSTILE.into_iter().chain([&*long]) {
        assert_error!(family.with([(text, "value")]), TelemetryError::InvalidLabels { .. }, "{text}");
        // As a value it is refused if it holds control characters, and escaped otherwise.
        assert_eq!(family.with([("key", text)]).is_err(), text.contains(char::is_control) || text.len() > 200);
    }
    telemetry.describe("requests", "a\n# TYPE evil counter\nevil 1").unwrap();
    let text = telemetry.prometheus();
    assert!(text.lines().all(|line| !line.starts_with("evil") && !line.starts_with("# TYPE evil")), "{text}");
    assert!(text.contains(r#",key="a{b=\"c\"}"} 0"#), "{text}");
}

#[foundation::test]
async fn thousands_of_labels_and_names_take_a_bounded_place(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let family = telemetry.family::<Gauge>("sessions", 100).unwrap();
    for session in 0..20_000 {
        family.update([("session", session.to_string())], |gauge| gauge.set(1.0));
        telemetry.execute(&format!("session.{session}"), &[("a", 1.0), ("b", 1.0)], &Value::Null);
        let _ = telemetry.describe(&format!("session.{session}"), "a session");
    }
    let scrape = telemetry.scrape();
    assert_eq!(scrape.family("sessions").unwrap().series.len(), 101);
    assert!(scrape.families.len() <= foundation::Telemetry::MAX_INSTRUMENTS + 30);
    assert!(scrape.to_snapshot().counter("telemetry.unrecorded").is_some_and(|lost| lost > 40_000));
}
