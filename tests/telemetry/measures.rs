//! The measurements of a namespace's services in its telemetry.

use std::time::Duration;

use foundation::names::Measurement;
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
