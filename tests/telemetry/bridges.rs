//! From the `metrics` facade and from `tracing`, to Prometheus.

use std::sync::Barrier;

use foundation::telemetry::{EarlyTelemetry, prometheus_text};
use foundation::{Foundation, TestNamespace};
use foundation_testkit::TraceLog;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;

#[foundation::test]
async fn the_macros_of_the_metrics_facade_count_in_the_namespace_of_their_recorder(namespace: TestNamespace) {
    let other = Foundation::builder().start().await.unwrap();
    for (telemetry, orders) in [(namespace.telemetry(), 1), (other.telemetry(), 2)] {
        metrics::with_local_recorder(&telemetry.recorder(), || {
            metrics::describe_counter!("orders", metrics::Unit::Count, "orders placed");
            metrics::describe_gauge!("load", metrics::Unit::Percent, "how busy it is");
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
        let snapshot = telemetry.snapshot();
        assert_eq!(snapshot.counter(r#"orders{shop="north"}"#), Some(orders));
        assert_eq!((snapshot.counter("bytes"), snapshot.gauge("load")), (Some(7), Some(2.0)));
        assert_eq!(snapshot.histogram("took").unwrap().count, 1);
        // A histogram under a counter's name, and an invalid name.
        assert_eq!(snapshot.counter("telemetry.unrecorded"), Some(2));
        assert!(telemetry.prometheus().contains("# HELP orders_total orders placed (count)\n"));
        let scrape = telemetry.scrape();
        assert_eq!(scrape.family("load").unwrap().unit.as_ref().unwrap().as_str(), "percent");
    }
    other.shutdown().await;
}

#[foundation::test]
async fn absolute_values_of_several_threads_are_counted_once(namespace: TestNamespace) {
    let recorder = namespace.telemetry().recorder();
    let barrier = Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                metrics::with_local_recorder(&recorder, || {
                    barrier.wait();
                    // A handle of its own for each use, as the macro makes it.
                    (1..=4_000).for_each(|value| metrics::counter!("bytes").absolute(value));
                });
            });
        }
    });
    assert_eq!(namespace.telemetry().snapshot().counter("bytes"), Some(4_000));
}

#[tokio::test]
async fn counts_before_the_start_of_the_foundation_are_not_lost_and_their_handles_stay_valid() {
    let early = EarlyTelemetry::new();
    let (recorder, layer) = (early.recorder(), early.tracing_layer().unwrap());
    let subscriber = tracing::Dispatch::new(tracing_subscriber::registry().with(layer));
    let (counter, took) = metrics::with_local_recorder(&recorder, || {
        metrics::describe_counter!("files.read", "files that were read");
        (metrics::counter!("files.read"), metrics::histogram!("took_seconds"))
    });
    let log = || tracing::dispatcher::with_default(&subscriber, || tracing::info!(target: "shop", "open"));
    counter.increment(2);
    took.record(0.5);
    log();

    for restarts in 0..2 {
        let foundation = Foundation::builder().early_telemetry(&early).start().await.unwrap();
        counter.increment(1);
        log();
        let telemetry = foundation.telemetry();
        let snapshot = telemetry.snapshot();
        assert_eq!(snapshot.counter("files.read"), Some(3 + restarts));
        assert_eq!(snapshot.histogram("took_seconds").unwrap().count, 1);
        assert_eq!(snapshot.counter(r#"tracing.events{level="info",target="shop"}"#), Some(2 + restarts));
        assert!(telemetry.prometheus().contains("# HELP files_read_total files that were read\n"));
        // It is production's, and no other namespace's.
        let test = foundation.test_namespace().await.unwrap();
        assert_eq!(test.telemetry().snapshot().counter("files.read"), None);
        foundation.shutdown().await;
    }
}

#[foundation::test]
async fn the_layer_switches_on_no_more_than_it_counts(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let level = |layer: Box<dyn Layer<tracing_subscriber::Registry> + Send + Sync>| {
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::Subscriber::max_level_hint(&subscriber)
    };
    assert_eq!(level(Box::new(telemetry.tracing_layer().unwrap())), Some(LevelFilter::INFO));
    let warnings = telemetry.tracing_layer_at(tracing::Level::WARN).unwrap();
    assert_eq!(level(Box::new(warnings)), Some(LevelFilter::WARN));

    let evaluated = std::cell::Cell::new(0);
    let costly = || evaluated.set(evaluated.get() + 1);
    let subscriber = tracing_subscriber::registry().with(telemetry.tracing_layer().unwrap());
    tracing::subscriber::with_default(subscriber, || {
        tracing::debug!(target: "quiet", costly = ?costly(), "no subscriber wants it");
        tracing::trace!(target: "quiet", costly = ?costly(), "no subscriber wants it");
        tracing::info!(target: "quiet", costly = ?costly(), "this is counted");
    });
    assert_eq!(evaluated.get(), 1);
    let snapshot = telemetry.snapshot();
    assert_eq!(snapshot.counter(r#"tracing.events{level="info",target="quiet"}"#), Some(1));
    assert_eq!(snapshot.counter(r#"tracing.events{level="debug",target="quiet"}"#), None);
}

#[foundation::test]
async fn the_level_of_the_layer_hides_nothing_from_the_others(namespace: TestNamespace) {
    let errors_only = namespace.telemetry().tracing_layer_at(tracing::Level::ERROR).unwrap();
    let warnings = TraceLog::default();
    let subscriber = tracing_subscriber::registry().with(errors_only).with(warnings.clone());
    tracing::subscriber::with_default(subscriber, || tracing::warn!(target: "shop", "no more apples"));
    assert_eq!(warnings.all().len(), 1);
    assert!(namespace.telemetry().scrape().family("tracing.events").is_none());
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
    let snapshot = telemetry.snapshot();
    assert_eq!(snapshot.counter(r#"tracing.events{level="warn",target="shop"}"#), Some(3));
    assert_eq!(snapshot.counter(r#"tracing.events{level="error",target="shop"}"#), Some(1));
    assert_eq!(snapshot.counter("tracing.events"), Some(1));
}

#[foundation::test]
async fn the_layer_may_count_the_events_of_telemetry_itself(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let family = telemetry.family::<foundation::telemetry::Counter>("tracing.events", 0).unwrap();
    let subscriber = tracing_subscriber::registry().with(telemetry.tracing_layer().unwrap());
    // There is no room: to report that is an event as well.
    tracing::subscriber::with_default(subscriber, || tracing::warn!(target: "shop", "no more apples"));
    drop(family);
    let overflow = telemetry.snapshot().counter(r#"tracing.events{overflow="true"}"#);
    assert!(overflow.is_some_and(|events| events >= 1));
}

#[foundation::test]
async fn the_text_for_prometheus_has_all_namespaces_and_what_their_registries_count(namespace: TestNamespace) {
    let other = Foundation::builder().start().await.unwrap();
    namespace.telemetry().counter("orders").unwrap().add(3);
    other.telemetry().counter("orders").unwrap().add(4);
    let scrapes = [namespace.telemetry().scrape(), other.telemetry().scrape()];
    let text = prometheus_text(&scrapes);
    let test = namespace.services().namespace();
    assert!(
        text.contains(&format!("orders_total{{namespace=\"{test}\"}} 3\norders_total{{namespace=\"production\"}} 4\n"))
    );
    assert_eq!(text.matches("# TYPE orders_total counter\n").count(), 1);
    assert!(text.contains("registry_lookups_total{namespace=\"production\"}"));
    other.shutdown().await;
}
