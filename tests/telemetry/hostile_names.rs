//! Names, labels, numbers and metadata of telemetry, beyond what its own scenarios have.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use foundation::TestNamespace;
use foundation::telemetry::{Counter, EventPattern, TelemetryEvent};
use foundation_testkit::TraceLog;
use foundation_testkit::hostile::{TEXTS, long, nested, readable};
use serde_json::{Value, json};
use tracing_subscriber::layer::SubscriberExt;

#[foundation::test]
async fn ten_thousand_labels_give_one_warning_and_one_series_more(namespace: TestNamespace) {
    let warnings = TraceLog::default();
    let family = namespace.telemetry().family::<Counter>("visits", 50).unwrap();
    let subscriber = tracing_subscriber::registry().with(warnings.clone());
    tracing::subscriber::with_default(subscriber, || {
        for visitor in 0..10_000 {
            family.with([("visitor", format!("'; DROP {visitor}"))]).unwrap().increment();
        }
    });
    let warnings = warnings.all();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("visits"), "{warnings:?}");
    let scrape = namespace.telemetry().scrape();
    let visits = scrape.family("visits").unwrap();
    assert_eq!(visits.series.len(), 51);
    let overflow = scrape.series("visits", &[("overflow", "true")]).unwrap();
    assert_eq!(overflow.reading, foundation::telemetry::Reading::Counter(9_950));
    // An existing handle continues as before.
    family.with([("visitor", "'; DROP 7")]).unwrap().increment();
    let scrape = namespace.telemetry().scrape();
    let known = scrape.series("visits", &[("visitor", "'; DROP 7")]).unwrap();
    assert_eq!(known.reading, foundation::telemetry::Reading::Counter(2));
}

#[foundation::test]
async fn texts_of_any_kind_reach_a_handler_unchanged_and_name_nothing(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let payloads = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&payloads);
    let note = move |event: &TelemetryEvent<'_>| recorded.lock().unwrap().push(event.metadata.clone());
    telemetry.attach("notebook", ["rang", "rung.start", "rung.exception"], note).unwrap();
    let before = telemetry.scrape().families.len();
    for text in TEXTS {
        telemetry.execute("rang", &[(text, 1.0)], &json!({ text: text }));
    }
    telemetry.execute("rang", &[("ok", f64::NAN), ("ok", f64::INFINITY), ("ok", -1.0)], &nested(1_000));
    drop(telemetry.span_with("rung", nested(1_000)));
    let payloads = std::mem::take(&mut *payloads.lock().unwrap());
    assert_eq!(payloads[..TEXTS.len()], TEXTS.map(|text| json!({ text: text })));
    assert_eq!((payloads.len(), &payloads[TEXTS.len()]), (TEXTS.len() + 3, &nested(1_000)));
    let scrape = telemetry.scrape();
    let new: BTreeSet<_> =
        scrape.families.iter().map(|family| &*family.name).filter(|name| name.starts_with('r')).collect();
    assert!(
        new.iter().all(|name| name.is_ascii() && !name.contains(|it: char| it.is_control() || it == ' ')),
        "{new:?}"
    );
    assert!(scrape.families.len() <= before + 8, "{new:?}");
    assert_eq!(scrape.to_snapshot().counter("rang"), Some(TEXTS.len() as u64 + 1));
}

#[foundation::test]
async fn an_event_is_delivered_only_under_a_name_that_a_handler_can_be_attached_to(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let delivered = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&delivered);
    let note = move |event: &TelemetryEvent<'_>| noted.lock().unwrap().push(event.name.to_owned());
    telemetry.attach("all", [EventPattern::prefix("")], note).unwrap();
    let names = || TEXTS.into_iter().chain(["rang", "cache.hits", "cache-hits", "tokio.workers", "registry.lookups"]);
    let (warnings, _guard) = TraceLog::of_thread(tracing::Level::WARN);
    names().for_each(|name| telemetry.execute(name, &[], &Value::Null));
    let can_be_attached = |name: &&str| telemetry.attach("one", [*name], |_| ()).is_ok() && telemetry.detach("one");
    let (valid, invalid): (Vec<_>, Vec<_>) = names().partition(can_be_attached);
    assert_eq!(*delivered.lock().unwrap(), valid);
    // Of the valid ones, those of other instruments are counted by them.
    let unrecorded = telemetry.snapshot().counter("telemetry.unrecorded");
    assert_eq!(unrecorded, Some(invalid.len() as u64 + 3));
    assert_eq!(warnings.lines(&["has no valid name"]).len(), 1, "{:?}", warnings.all());
}

#[foundation::test]
async fn an_id_of_a_handler_may_be_any_text_and_is_reported_in_one_short_line(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    for id in TEXTS.map(str::to_owned).into_iter().chain([long()]) {
        telemetry.attach(&id, ["rang"], |_| ()).unwrap();
        readable(telemetry.attach(&id, ["rang"], |_| ()).unwrap_err());
        assert!(telemetry.detach(&id));
    }
    assert!(telemetry.handlers().is_empty());
}

#[foundation::test]
async fn invalid_input_to_the_metrics_facade_is_refused_and_contained_alike(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let before = telemetry.scrape().families.len();
    let recorder = telemetry.recorder();
    metrics::with_local_recorder(&recorder, || {
        for text in TEXTS {
            metrics::counter!(format!("{text} x")).increment(1);
            metrics::counter!("orders", format!("{text} x") => "v").increment(1);
            metrics::describe_counter!(format!("{text} x"), "hostile");
        }
        for number in 0..20_000 {
            metrics::counter!(format!("'; DROP {number}")).increment(1);
            metrics::counter!("orders", "shop" => format!("{number}")).increment(1);
        }
    });
    let scrape = telemetry.scrape();
    assert_eq!(scrape.families.len(), before + 1);
    assert_eq!(scrape.family("orders").unwrap().series.len(), 1_001);
    let lost = 2 * TEXTS.len() as u64 + 20_000;
    assert_eq!(scrape.to_snapshot().counter("telemetry.unrecorded"), Some(lost));
}

#[foundation::test]
async fn an_event_of_tracing_adds_only_its_level_and_target(namespace: TestNamespace) {
    let layer = namespace.telemetry().tracing_layer().unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        for number in 0..10_000 {
            tracing::info!(target: "shop", user = format!("\u{1b}'; DROP {number}"), "a\nb {number}");
        }
    });
    let scrape = namespace.telemetry().scrape();
    let events = scrape.series("tracing.events", &[("level", "info"), ("target", "shop")]).unwrap();
    assert_eq!(events.reading, foundation::telemetry::Reading::Counter(10_000));
    assert_eq!(scrape.family("tracing.events").unwrap().series.len(), 1);
}

/// All of them become one name in Prometheus' grammar: the first has it, and keeps it.
#[foundation::test]
async fn of_a_thousand_names_that_are_equal_in_prometheus_only_the_first_exists(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let looks = ['.', '-', '/', '_'];
    let names = (0..1_024_usize).map(|number| {
        let name: String = (0..5).map(|place| looks[number >> (2 * place) & 3]).collect();
        format!("a{name}z")
    });
    let refused: Vec<_> = names.filter_map(|name| telemetry.counter(&name).err()).map(readable).collect();
    assert_eq!(refused.len(), 1_023);
    assert!(refused.iter().all(|refusal| refusal.contains("as a.....z is")), "{}", refused[0]);
    let text = telemetry.prometheus();
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("a_____z")).collect();
    assert_eq!(lines.len(), 1);
    telemetry.execute("still", &[], &Value::Null);
    assert!(telemetry.prometheus().contains("still_total{"));
}
