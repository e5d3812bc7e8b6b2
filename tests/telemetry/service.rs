//! The telemetry service through its client.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foundation::telemetry::{Snapshot, TelemetryError, TelemetryEvent};
use foundation::{Telemetry, TestNamespace};
use foundation_testkit::{SOON, crash, error_text};
use serde_json::{Value, json};

/// A handler that records its events, and the records.
pub(crate) fn notebook() -> (impl Fn(&TelemetryEvent<'_>) + Send + Sync + 'static, Arc<Mutex<Vec<String>>>) {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::clone(&notes);
    let write = move |event: &TelemetryEvent<'_>| {
        let TelemetryEvent { name, measurements, metadata, .. } = event;
        written.lock().unwrap().push(format!("{name} {measurements:?} {metadata}"));
    };
    (write, notes)
}

pub(crate) fn read(notes: &Mutex<Vec<String>>) -> Vec<String> {
    notes.lock().unwrap().clone()
}

// ---- instruments ----

#[foundation::test]
async fn instruments_are_shared_by_name_and_read_in_the_snapshot(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    telemetry.counter("orders").unwrap().add(2);
    telemetry.count("orders");
    telemetry.gauge("load").unwrap().set(0.5);
    telemetry.histogram("latency_ms").unwrap().record(3.0);
    assert_eq!(telemetry.counter("orders").unwrap().value(), 3);

    let snapshot = telemetry.snapshot();
    assert_eq!((snapshot.counter("orders"), snapshot.gauge("load")), (Some(3), Some(0.5)));
    let latency = snapshot.histogram("latency_ms").unwrap();
    assert_eq!((latency.count, latency.sum), (1, 3.0));
}

#[foundation::test]
async fn the_snapshot_has_what_the_registry_and_the_supervisors_count(namespace: TestNamespace) {
    let before = namespace.telemetry().snapshot();
    crash(&namespace, &Telemetry::NAME).await;
    let after = namespace.telemetry().snapshot();
    assert_eq!((before.counter("supervisor.exits"), after.counter("supervisor.exits")), (Some(0), Some(1)));
    let registrations = |snapshot: &Snapshot| snapshot.counter("registry.registrations").unwrap();
    assert_eq!(registrations(&after), registrations(&before) + 1);
}

#[foundation::test]
async fn a_name_belongs_to_the_kind_of_instrument_that_it_was_first_used_for(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    telemetry.counter("orders").unwrap();
    assert_eq!(error_text(telemetry.gauge("orders")), "orders is a counter, not a gauge; give the gauge another name");
    assert_eq!(
        error_text(telemetry.histogram("orders")),
        "orders is a counter, not a histogram; give the histogram another name"
    );
    telemetry.gauge("load").unwrap();
    let wrong = telemetry.counter("load").unwrap_err();
    assert!(matches!(wrong, TelemetryError::WrongKind { wanted: "counter", found: "gauge", .. }));

    // A method that cannot fail counts the misnomer instead.
    telemetry.count("load");
    telemetry.execute("load", &[("orders", 1.0)], &Value::Null);
    let snapshot = telemetry.snapshot();
    assert_eq!(snapshot.gauge("load"), Some(0.0));
    assert_eq!(snapshot.counter("telemetry.unrecorded"), Some(2));
    assert_eq!(snapshot.histogram("load.orders").unwrap().count, 1);
}

#[foundation::test]
async fn a_namespace_has_a_bounded_number_of_instruments(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    for n in 0..Telemetry::MAX_INSTRUMENTS {
        telemetry.counter(&format!("user.{n}")).unwrap();
    }
    let expected = "one.more cannot be made: the namespace has 10000 instruments, as many as it may have";
    assert_eq!(error_text(telemetry.counter("one.more")), expected);
    telemetry.count("one.more");
    telemetry.count("user.7");
    let snapshot = telemetry.snapshot();
    assert_eq!((snapshot.counter("user.7"), snapshot.counter("telemetry.unrecorded")), (Some(1), Some(1)));
}

#[foundation::test]
async fn a_namespace_counts_for_itself(namespace: TestNamespace) {
    let foundation = foundation::Foundation::builder().start().await.unwrap();
    foundation.telemetry().count("orders");
    assert_eq!(namespace.telemetry().snapshot().counter("orders"), None);
    assert_eq!(foundation.telemetry().snapshot().counter("orders"), Some(1));
    foundation.shutdown().await;
}

// ---- events and handlers ----

#[foundation::test]
async fn an_event_is_counted_measured_and_handled(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let (write, notes) = notebook();
    telemetry.attach("notebook", ["order.placed", "order.paid"], write).unwrap();
    telemetry.execute("order.placed", &[("items", 3.0)], &json!({ "shop": "north" }));
    telemetry.execute("order.lost", &[], &Value::Null);
    assert_eq!(read(&notes), [r#"order.placed [("items", 3.0)] {"shop":"north"}"#]);
    let snapshot = telemetry.snapshot();
    assert_eq!(snapshot.counter("order.placed"), Some(1));
    assert_eq!(snapshot.histogram("order.placed.items").unwrap().sum, 3.0);
}

#[foundation::test]
async fn a_handler_gets_the_namespace(namespace: TestNamespace) {
    let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
    let handle = move |event: &TelemetryEvent<'_>| sender.send(event.namespace).unwrap();
    namespace.telemetry().attach("where", ["here"], handle).unwrap();
    namespace.telemetry().execute("here", &[], &Value::Null);
    assert_eq!(received.recv().await, Some(namespace.services().namespace()));
}

#[foundation::test]
async fn handlers_are_listed_in_the_order_of_attachment_and_detached_by_id(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let (write, notes) = notebook();
    telemetry.attach("b", ["rang"], write).unwrap();
    telemetry.attach("a", ["rang"], |_| ()).unwrap();
    let twice = telemetry.attach("a", ["rang"], |_| ());
    assert_eq!(error_text(twice), "a telemetry handler \"a\" is already attached; detach it first");
    assert_eq!(telemetry.handlers(), ["b", "a"]);

    assert!(telemetry.detach("b"));
    assert!(!telemetry.detach("b"));
    telemetry.execute("rang", &[], &Value::Null);
    assert_eq!(read(&notes), Vec::<String>::new());
    assert_eq!(telemetry.handlers(), ["a"]);
}

#[foundation::test]
async fn a_handler_that_panics_is_detached_and_its_emitter_is_not_affected(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let (write, notes) = notebook();
    telemetry.attach("faulty", ["rang"], |_| panic!("the handler is faulty")).unwrap();
    telemetry.attach("notebook", ["rang"], write).unwrap();
    telemetry.execute("rang", &[], &Value::Null);
    telemetry.execute("rang", &[], &Value::Null);
    assert_eq!(read(&notes).len(), 2);
    assert_eq!(telemetry.handlers(), ["notebook"]);
    let snapshot = telemetry.snapshot();
    assert_eq!((snapshot.counter("telemetry.handlers_detached"), snapshot.counter("rang")), (Some(1), Some(2)));
}

#[foundation::test]
async fn a_handler_that_comes_in_place_of_one_that_is_panicking_is_not_detached_for_it(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let (entered, inside) = std::sync::mpsc::channel();
    let (leave, left) = std::sync::mpsc::channel::<()>();
    let left = Mutex::new(left);
    let handle = move |_: &TelemetryEvent<'_>| {
        entered.send(()).unwrap();
        let _ = left.lock().unwrap().recv();
        panic!("the old handler panics");
    };
    telemetry.attach("handler", ["rang"], handle).unwrap();
    let emitting = telemetry.clone();
    let emitter = std::thread::spawn(move || emitting.execute("rang", &[], &Value::Null));
    inside.recv().unwrap();
    assert!(telemetry.detach("handler"));
    telemetry.attach("handler", ["rang"], |_| ()).unwrap();
    leave.send(()).unwrap();
    emitter.join().unwrap();
    assert_eq!(telemetry.handlers(), ["handler"]);
    assert_eq!(telemetry.snapshot().counter("telemetry.handlers_detached"), Some(0));
}

#[foundation::test]
async fn a_handler_may_emit_and_so_may_its_destructor(namespace: TestNamespace) {
    struct Emits(Telemetry);
    impl Drop for Emits {
        fn drop(&mut self) {
            self.0.execute("dropped", &[], &Value::Null);
        }
    }
    let telemetry = namespace.telemetry().clone();
    let emits = Emits(telemetry.clone());
    let handle = move |_: &TelemetryEvent<'_>| {
        emits.0.execute("echoed", &[], &Value::Null);
        panic!("and so it is dropped");
    };
    telemetry.attach("echo", ["rang"], handle).unwrap();
    // The destructor's own event detaches a handler as well.
    telemetry.attach("faulty", ["dropped"], |_| panic!("the handler is faulty")).unwrap();
    let emitting = telemetry.clone();
    // On a thread of its own: if it waited for itself, it would wait for ever.
    let (done, emitted) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        emitting.execute("rang", &[], &Value::Null);
        let _ = done.send(());
    });
    tokio::time::timeout(SOON, emitted).await.unwrap().unwrap();
    let snapshot = telemetry.snapshot();
    assert_eq!((snapshot.counter("echoed"), snapshot.counter("dropped")), (Some(1), Some(1)));
    assert!(telemetry.handlers().is_empty());
}

#[foundation::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_come_and_go_while_others_emit(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let calls = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&calls);
    let handle = move |_: &TelemetryEvent<'_>| {
        counting.fetch_add(1, Ordering::Relaxed);
    };
    telemetry.attach("steady", ["rang"], handle).unwrap();
    let emitting = telemetry.clone();
    let emitter = tokio::spawn(async move {
        for _ in 0..1_000 {
            emitting.execute("rang", &[], &Value::Null);
            tokio::task::yield_now().await;
        }
    });
    for n in 0..100 {
        telemetry.attach(format!("fleeting-{n}"), ["rang"], |_| ()).unwrap();
        assert!(telemetry.detach(&format!("fleeting-{n}")));
    }
    emitter.await.unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1_000);
}

// ---- measuring ----

#[foundation::test(start_paused = true)]
async fn measured_work_is_timed_from_start_to_stop(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let result = telemetry.measure("pricing", async {
        tokio::time::advance(Duration::from_millis(250)).await;
        21
    });
    assert_eq!(result.await, 21);
    let snapshot = telemetry.snapshot();
    assert_eq!((snapshot.counter("pricing.start"), snapshot.counter("pricing.stop")), (Some(1), Some(1)));
    assert_eq!(snapshot.counter("pricing.exception"), None);
    assert_eq!(snapshot.histogram("pricing.stop.duration_ms").unwrap().sum, 250.0);
}

#[foundation::test(start_paused = true)]
async fn measured_work_that_panics_is_an_exception_and_still_panics(namespace: TestNamespace) {
    let telemetry = namespace.telemetry().clone();
    let task = tokio::spawn(async move {
        let work = async {
            tokio::time::advance(Duration::from_millis(10)).await;
            panic!("the work fails");
        };
        telemetry.measure("pricing", work).await
    });
    assert!(task.await.unwrap_err().is_panic());
    let snapshot = namespace.telemetry().snapshot();
    assert_eq!((snapshot.counter("pricing.exception"), snapshot.counter("pricing.stop")), (Some(1), None));
    assert_eq!(snapshot.histogram("pricing.exception.duration_ms").unwrap().sum, 10.0);
}

#[foundation::test(start_paused = true)]
async fn measured_work_that_is_cancelled_is_an_exception(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let endless = telemetry.measure("pricing", std::future::pending::<()>());
    assert!(tokio::time::timeout(Duration::from_secs(1), endless).await.is_err());
    let snapshot = telemetry.snapshot();
    assert_eq!(snapshot.counter("pricing.exception"), Some(1));
    assert_eq!(snapshot.histogram("pricing.exception.duration_ms").unwrap().sum, 1_000.0);
}

#[foundation::test]
async fn a_handler_that_panics_while_its_emitter_panics_does_no_harm(namespace: TestNamespace) {
    namespace.telemetry().attach("faulty", ["pricing.exception"], |_| panic!("so does the handler")).unwrap();
    let telemetry = namespace.telemetry().clone();
    let task = tokio::spawn(async move { telemetry.measure("pricing", async { panic!("the work fails") }).await });
    assert!(task.await.unwrap_err().is_panic());
    assert!(namespace.telemetry().handlers().is_empty());
}

#[tokio::test]
async fn without_the_service_everything_but_its_requests_works() {
    let foundation = foundation::Foundation::builder().start().await.unwrap();
    foundation.shutdown().await;
    let telemetry = foundation.telemetry();
    telemetry.count("orders");
    telemetry.measure("pricing", async {}).await;
    assert_eq!(telemetry.counter("orders").unwrap().value(), 1);
    assert_eq!(telemetry.snapshot().counter("orders"), Some(1));
    assert_eq!(error_text(telemetry.tick().await), "no service telemetry in namespace production");
}
