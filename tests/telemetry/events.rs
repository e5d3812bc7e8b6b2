//! Handlers by prefix, and spans.

use std::time::Duration;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foundation::telemetry::{EventPattern, TelemetryEvent};
use foundation::{Foundation, Telemetry, TestNamespace};
use serde_json::{Value, json};
use tracing_subscriber::layer::SubscriberExt;

use super::service::{notebook, read};

#[foundation::test]
async fn a_handler_may_be_attached_to_a_name_and_all_below_it(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let (write, notes) = notebook();
    telemetry.attach("below", [EventPattern::prefix("order"), "paid".into()], write).unwrap();
    let (write, all) = notebook();
    telemetry.attach("all", [EventPattern::prefix("")], write).unwrap();
    for event in ["order", "order.placed", "orders", "paid", "paid.twice"] {
        telemetry.execute(event, &[], &Value::Null);
    }
    assert_eq!(read(&notes), ["order [] null", "order.placed [] null", "paid [] null"]);
    assert_eq!(read(&all).len(), 5);
}

#[foundation::test(start_paused = true)]
async fn a_span_emits_its_start_and_its_stop_with_its_metadata(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let (write, notes) = notebook();
    telemetry.attach("notebook", [EventPattern::prefix("pricing")], write).unwrap();
    let span = telemetry.span_with("pricing", json!({ "shop": 1 }));
    tokio::time::advance(Duration::from_millis(250)).await;
    span.stop();
    let expected = [r#"pricing.start [] {"shop":1}"#, r#"pricing.stop [("duration_ms", 250.0)] {"shop":1}"#];
    assert_eq!(read(&notes), expected);
}

#[foundation::test(start_paused = true)]
async fn an_exception_distinguishes_a_panic_from_a_cancelled_future(namespace: TestNamespace) {
    let telemetry = namespace.telemetry().clone();
    let (write, notes) = notebook();
    telemetry.attach("notebook", ["pricing.exception"], write).unwrap();
    let endless = telemetry.measure("pricing", std::future::pending::<()>());
    assert!(tokio::time::timeout(Duration::from_secs(1), endless).await.is_err());
    let panicking = telemetry.clone();
    let task = tokio::spawn(async move { panicking.measure("pricing", async { panic!("the work fails") }).await });
    assert!(task.await.unwrap_err().is_panic());
    drop(telemetry.span("pricing"));
    let expected = [
        r#"pricing.exception [("duration_ms", 1000.0)] {"exception":"cancelled"}"#,
        r#"pricing.exception [("duration_ms", 0.0)] {"exception":"panic"}"#,
        r#"pricing.exception [("duration_ms", 0.0)] {"exception":"cancelled"}"#,
    ];
    assert_eq!(read(&notes), expected);
}

#[foundation::test]
async fn a_handler_whose_panic_payload_and_destructor_panic_does_no_harm(namespace: TestNamespace) {
    struct PanicsAtItsEnd;
    impl Drop for PanicsAtItsEnd {
        fn drop(&mut self) {
            panic!("the destructor panics");
        }
    }
    let telemetry: &Telemetry = namespace.telemetry();
    let kept = PanicsAtItsEnd;
    let handle = move |_: &TelemetryEvent<'_>| {
        let _kept = &kept;
        std::panic::panic_any(PanicsAtItsEnd);
    };
    telemetry.attach("faulty", ["rang"], handle).unwrap();
    telemetry.execute("rang", &[], &Value::Null);
    assert!(telemetry.handlers().is_empty());
}

// ---- handlers that emit ----

/// Attaches a handler of everything that emits in turn; returns the number of its calls.
async fn attach_echo(to: &Telemetry, from: &Telemetry, id: &str) -> Arc<AtomicU64> {
    let calls = Arc::new(AtomicU64::new(0));
    let (counting, telemetry) = (Arc::clone(&calls), to.clone());
    let echo = move |_: &TelemetryEvent<'_>| {
        counting.fetch_add(1, Ordering::Relaxed);
        telemetry.execute("echo.heard", &[], &Value::Null);
    };
    from.attach(id, [EventPattern::prefix("")], echo).unwrap();
    calls
}

#[foundation::test]
async fn a_handler_that_emits_its_own_events_comes_to_an_end(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let warnings = foundation_testkit::TraceLog::default();
    let calls = attach_echo(telemetry, telemetry, "echo").await;
    tracing::subscriber::with_default(tracing_subscriber::registry().with(warnings.clone()), || {
        for _ in 0..100 {
            telemetry.execute("order.placed", &[], &Value::Null);
        }
    });
    // Eight at a time, and the events that the last of them emits are counted and handled by none.
    let snapshot = telemetry.snapshot();
    assert_eq!(calls.load(Ordering::Relaxed), 800);
    assert_eq!((snapshot.counter("order.placed"), snapshot.counter("echo.heard")), (Some(100), Some(800)));
    assert_eq!(snapshot.counter("telemetry.events_nested_too_deep"), Some(100));
    assert_eq!(warnings.all().len(), 1, "{:?}", warnings.all());
    assert_eq!(telemetry.handlers(), ["echo"]);
}

#[foundation::test]
async fn handlers_of_two_namespaces_that_emit_into_each_other_come_to_an_end(namespace: TestNamespace) {
    let other = Foundation::builder().start().await.unwrap();
    let (here, there) = (namespace.telemetry(), other.telemetry());
    let echoed_here = attach_echo(there, here, "echo").await;
    let echoed_there = attach_echo(here, there, "echo").await;
    here.execute("order.placed", &[], &Value::Null);
    assert_eq!((echoed_here.load(Ordering::Relaxed), echoed_there.load(Ordering::Relaxed)), (4, 4));
    other.shutdown().await;
}

#[foundation::test]
async fn many_handlers_that_emit_handle_a_bounded_number_of_events(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let mut calls = Vec::new();
    for id in 0..20 {
        calls.push(attach_echo(telemetry, telemetry, &id.to_string()).await);
    }
    telemetry.execute("order.placed", &[], &Value::Null);
    // Without a bound there were 20^8.
    let total: u64 = calls.iter().map(|calls| calls.load(Ordering::Relaxed)).sum();
    assert!((20..=20 * 10_001).contains(&total), "{total}");
    // And after it all is as before.
    telemetry.detach("0");
    let before = calls[1].load(Ordering::Relaxed);
    telemetry.execute("order.placed", &[], &Value::Null);
    assert!(calls[1].load(Ordering::Relaxed) > before);
}
