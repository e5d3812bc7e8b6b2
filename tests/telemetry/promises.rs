//! The remaining statements in the documentation of telemetry, one by one.

use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use foundation::telemetry::{Counter, EarlyTelemetry, EventPattern, Gauge, Labels, TelemetryError, TelemetryEvent};
use foundation::{Foundation, TestNamespace};
use foundation_testkit::assert_error;
use serde_json::Value;

/// `attach`: it runs on the thread that emits.
#[foundation::test]
async fn a_handler_runs_on_the_thread_that_emits(namespace: TestNamespace) {
    let telemetry = namespace.telemetry().clone();
    let seen = Arc::new(Mutex::new(Vec::<ThreadId>::new()));
    let seeing = Arc::clone(&seen);
    let note = move |_: &TelemetryEvent<'_>| seeing.lock().unwrap().push(thread::current().id());
    telemetry.attach("note", [EventPattern::prefix("rang")], note).unwrap();
    let emit = move || {
        telemetry.execute("rang", &[], &Value::Null);
        thread::current().id()
    };
    let emitted = thread::spawn(emit).join().unwrap();
    assert_eq!(*seen.lock().unwrap(), [emitted]);
}

/// `describe`: at most 1,000 characters, and a later text replaces an earlier one, also that of a built-in metric.
#[foundation::test]
async fn a_later_description_replaces_an_earlier_one_and_is_cut_at_a_thousand_characters(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    telemetry.counter("orders").unwrap();
    let help = async |name: &str| {
        let scrape = telemetry.scrape();
        scrape.family(name).unwrap().help.as_deref().map(str::to_owned)
    };
    assert_eq!(help("orders").await, None);
    assert_eq!(help("registry.lookups").await.as_deref(), Some("Lookups of names."));
    for name in ["orders", "registry.lookups"] {
        telemetry.describe(name, "first").unwrap();
        telemetry.describe(name, &"ä".repeat(1_001)).unwrap();
        assert_eq!(help(name).await, Some("ä".repeat(1_000)));
    }
}

/// `Family::remove`: a holder of the series changes it unseen; a caller that requests it again gets a new one.
#[foundation::test]
async fn a_series_that_is_removed_is_changed_unseen_by_its_holder(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let pools = telemetry.family::<Gauge>("pools", 10).unwrap();
    let held = pools.with([("pool", "a")]).unwrap();
    held.set(1.0);
    assert!(pools.remove(&Labels::new([("pool", "a")]).unwrap()));
    held.set(2.0);
    assert!(telemetry.scrape().family("pools").is_none());
    pools.update([("pool", "a")], |pool| pool.add(5.0));
    assert_eq!(telemetry.snapshot().gauge(r#"pools{pool="a"}"#), Some(5.0));
}

/// `Scrape`: families are in the order of their names, series in that of their labels.
#[foundation::test]
async fn a_scrape_is_in_the_order_of_names_and_labels(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    for name in ["zebra", "ant", "registry_", "tokio_"] {
        let family = telemetry.family::<Counter>(name, 10).unwrap();
        ["c", "a", "b"].into_iter().for_each(|user| family.update([("user", user)], Counter::increment));
    }
    let scrape = telemetry.scrape();
    assert!(scrape.families.is_sorted_by(|a, b| a.name < b.name));
    assert!(scrape.families.iter().all(|family| family.series.is_sorted_by(|a, b| a.labels < b.labels)));
    assert!(scrape.families.iter().all(|family| scrape.family(&family.name) == Some(family)));
}

/// `EarlyTelemetry`: cheap to clone, and all clones are one.
#[tokio::test]
async fn the_clones_of_early_telemetry_count_in_one_place() {
    let early = EarlyTelemetry::new();
    for recorder in [early.recorder(), early.clone().recorder()] {
        metrics::with_local_recorder(&recorder, || metrics::counter!("files.read").increment(1));
    }
    let foundation = Foundation::builder().early_telemetry(&early).start().await.unwrap();
    assert_eq!(foundation.telemetry().snapshot().counter("files.read"), Some(2));
    foundation.shutdown().await;
}

/// A refused name is refused to all that ask for it, and stays so after the service has been restarted.
#[foundation::test]
async fn names_stay_with_their_instruments_over_a_restart_of_the_service(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    telemetry.counter("cache.hits").unwrap().add(3);
    foundation_testkit::crash(&namespace, &foundation::Telemetry::NAME).await;
    assert_error!(telemetry.counter("cache-hits"), TelemetryError::NameTaken { .. });
    let text = telemetry.prometheus();
    assert!(text.contains(&format!("cache_hits_total{{namespace=\"{}\"}} 3\n", namespace.services().namespace())));
}
