//! Handlers by prefix, and spans.

use std::time::Duration;

use foundation::{EventPattern, Telemetry, TelemetryEvent, TestNamespace};
use serde_json::{Value, json};

use super::{notebook, read};

#[foundation::test]
async fn a_handler_may_want_a_name_and_all_below_it(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let (write, notes) = notebook();
    telemetry.attach("below", [EventPattern::prefix("order"), "paid".into()], write).await.unwrap();
    let (write, all) = notebook();
    telemetry.attach("all", [EventPattern::prefix("")], write).await.unwrap();
    for event in ["order", "order.placed", "orders", "paid", "paid.twice"] {
        telemetry.execute(event, &[], &Value::Null);
    }
    assert_eq!(read(&notes), ["order [] null", "order.placed [] null", "paid [] null"]);
    assert_eq!(read(&all).len(), 5);
}

#[foundation::test(start_paused = true)]
async fn a_span_tells_its_start_and_its_stop_with_its_metadata(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let (write, notes) = notebook();
    telemetry.attach("notebook", [EventPattern::prefix("pricing")], write).await.unwrap();
    let span = telemetry.span_with("pricing", json!({ "shop": 1 }));
    tokio::time::advance(Duration::from_millis(250)).await;
    span.stop();
    let expected = [r#"pricing.start [] {"shop":1}"#, r#"pricing.stop [("duration_ms", 250.0)] {"shop":1}"#];
    assert_eq!(read(&notes), expected);
}

#[foundation::test(start_paused = true)]
async fn an_exception_tells_a_panic_from_a_cancelled_future(namespace: TestNamespace) {
    let telemetry = namespace.telemetry().clone();
    let (write, notes) = notebook();
    telemetry.attach("notebook", ["pricing.exception"], write).await.unwrap();
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
async fn a_handler_whose_panic_and_whose_destructor_panic_harms_nobody(namespace: TestNamespace) {
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
    telemetry.attach("faulty", ["rang"], handle).await.unwrap();
    telemetry.execute("rang", &[], &Value::Null);
    assert!(telemetry.handlers().await.unwrap().is_empty());
}
