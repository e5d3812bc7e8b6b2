//! From the `metrics` facade and from `tracing`, to Prometheus.

use foundation::{Foundation, TestNamespace, prometheus_text};
use tracing_subscriber::layer::SubscriberExt;

#[foundation::test]
async fn the_macros_of_the_metrics_facade_count_in_the_namespace_of_their_recorder(namespace: TestNamespace) {
    let other = Foundation::builder().start().await.unwrap();
    for (telemetry, orders) in [(namespace.telemetry(), 1), (other.telemetry(), 2)] {
        metrics::with_local_recorder(&telemetry.recorder(), || {
            metrics::describe_counter!("orders", metrics::Unit::Count, "orders placed");
            metrics::counter!("orders", "shop" => "north").increment(orders);
            metrics::counter!("bytes").absolute(7);
            metrics::counter!("bytes").absolute(5);
            metrics::gauge!("load").set(2.5);
            metrics::gauge!("load").decrement(1.0);
            metrics::gauge!("load").increment(0.5);
            metrics::histogram!("took").record(3.0);
            metrics::histogram!("orders").record(3.0);
            metrics::counter!("not a name", "shop" => "north").increment(1);
        });
    }
    for (telemetry, orders) in [(namespace.telemetry(), 1), (other.telemetry(), 2)] {
        let snapshot = telemetry.snapshot().await.unwrap();
        assert_eq!(snapshot.counter(r#"orders{shop="north"}"#), Some(orders));
        assert_eq!((snapshot.counter("bytes"), snapshot.gauge("load")), (Some(7), Some(2.0)));
        assert_eq!(snapshot.histogram("took").unwrap().count, 1);
        // A histogram under a counter's name, and what is no name.
        assert_eq!(snapshot.counter("telemetry.unrecorded"), Some(2));
        assert!(telemetry.prometheus().await.unwrap().contains("# HELP orders_total orders placed (count)\n"));
    }
    other.shutdown().await;
}

#[foundation::test]
async fn events_of_tracing_are_counted_by_level_and_target(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let subscriber = tracing_subscriber::registry().with(telemetry.tracing_layer().unwrap());
    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..3 {
            tracing::warn!(target: "shop", "no more apples");
        }
        tracing::error!(target: "shop", "no more money");
        tracing::info!(target: "bank\n", "a target that is no label");
    });
    let snapshot = telemetry.snapshot().await.unwrap();
    assert_eq!(snapshot.counter(r#"tracing.events{level="warn",target="shop"}"#), Some(3));
    assert_eq!(snapshot.counter(r#"tracing.events{level="error",target="shop"}"#), Some(1));
    assert_eq!(snapshot.counter("tracing.events"), Some(1));
}

#[foundation::test]
async fn the_layer_may_be_told_of_telemetry_itself(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let family = telemetry.family::<foundation::Counter>("tracing.events", 0).unwrap();
    let subscriber = tracing_subscriber::registry().with(telemetry.tracing_layer().unwrap());
    // There is no room: to say so is an event as well.
    tracing::subscriber::with_default(subscriber, || tracing::warn!(target: "shop", "no more apples"));
    drop(family);
    let overflow = telemetry.snapshot().await.unwrap().counter(r#"tracing.events{overflow="true"}"#);
    assert!(overflow.is_some_and(|events| events >= 1));
}

#[foundation::test]
async fn the_text_for_prometheus_has_all_namespaces_and_what_their_registries_count(namespace: TestNamespace) {
    let other = Foundation::builder().start().await.unwrap();
    namespace.telemetry().counter("orders").unwrap().add(3);
    other.telemetry().counter("orders").unwrap().add(4);
    let scrapes = [namespace.telemetry().scrape().await.unwrap(), other.telemetry().scrape().await.unwrap()];
    let text = prometheus_text(&scrapes);
    let test = namespace.namespace();
    assert!(
        text.contains(&format!("orders_total{{namespace=\"{test}\"}} 3\norders_total{{namespace=\"production\"}} 4\n"))
    );
    assert_eq!(text.matches("# TYPE orders_total counter\n").count(), 1);
    assert!(text.contains("registry_lookups_total{namespace=\"production\"}"));
    other.shutdown().await;
}
