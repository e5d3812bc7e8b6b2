//! The output for Prometheus: stable names, constant bounds, and nothing that `promtool check metrics` finds.

use std::collections::{BTreeMap, BTreeSet};

use foundation::telemetry::{Counter, TelemetryError, Unit, open_metrics_text};
use foundation::{Foundation, Telemetry, TestNamespace};
use foundation_testkit::{crash, error_text};
use serde_json::Value;

/// The lines of one name.
fn lines(telemetry: &Telemetry, name: &str) -> Vec<String> {
    let text = telemetry.prometheus();
    text.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect()
}

// ---- names ----

#[tokio::test]
async fn a_name_that_becomes_the_same_as_another_changes_nothing_at_the_first_one() {
    let foundation = Foundation::builder().start().await.unwrap();
    let telemetry = foundation.telemetry();
    telemetry.counter("cache.hits").unwrap().add(1_000);
    let before = lines(telemetry, "cache_hits");
    assert_eq!(before, [r#"cache_hits_total{namespace="production"} 1000"#]);
    assert_eq!(
        error_text(telemetry.counter("cache-hits")),
        "cache-hits cannot be made: in Prometheus' text it would be cache_hits, as cache.hits is; \
         give one of them another name"
    );
    // A method that cannot fail counts its losses.
    telemetry.count("cache-hits");
    telemetry.execute("cache/hits", &[], &Value::Null);
    assert_eq!(lines(telemetry, "cache_hits"), before);
    assert_eq!(telemetry.snapshot().counter("telemetry.unrecorded"), Some(2));
    foundation.shutdown().await;
}

#[foundation::test]
async fn a_name_that_becomes_that_of_a_sample_of_another_is_refused(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    telemetry.histogram("took_ms").unwrap();
    for name in ["took.seconds", "took_seconds.sum", "took-seconds-count", "took_seconds_bucket"] {
        assert!(matches!(telemetry.gauge(name), Err(TelemetryError::NameTaken { .. })), "{name}");
    }
    telemetry.family::<Counter>("jobs", 10).unwrap();
    assert!(matches!(telemetry.gauge("jobs.total"), Err(TelemetryError::NameTaken { .. })));
}

#[foundation::test]
async fn an_instrument_cannot_hide_a_built_in_one(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let before = telemetry.snapshot().counter("registry.registrations");
    assert_eq!(
        error_text(telemetry.counter("registry.registrations")),
        "registry.registrations is measured by the foundation itself; give the instrument another name"
    );
    assert!(matches!(telemetry.gauge("service.messages"), Err(TelemetryError::BuiltIn { .. })));
    assert!(matches!(telemetry.counter("tokio.workers"), Err(TelemetryError::WrongKind { .. })));
    assert!(matches!(telemetry.gauge("service/messages/total"), Err(TelemetryError::NameTaken { .. })));
    assert_eq!(telemetry.snapshot().counter("registry.registrations"), before);
}

// ---- units ----

#[foundation::test]
async fn a_family_has_the_unit_of_its_name_or_the_one_that_it_is_given(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    telemetry.unit("heater.energy", Unit::new("joules").unwrap()).unwrap();
    telemetry.unit("heater.stored_joules", Unit::new("joules").unwrap()).unwrap();
    for name in ["heater.energy", "heater.stored_joules", "heater.used_bytes", "heater.rounds"] {
        telemetry.gauge(name).unwrap().set(7.0);
    }
    namespace.config().status().await.unwrap();
    let scrape = telemetry.scrape();
    let unit = |name: &str| scrape.family(name).unwrap().unit.as_ref().map(|unit| unit.ucum().into_owned());
    assert_eq!(unit("heater.energy").as_deref(), Some("J"));
    assert_eq!(unit("heater.used_bytes").as_deref(), Some("By"));
    assert_eq!(unit("service.handling_ns").as_deref(), Some("ns"));
    assert_eq!(unit("service.idle_seconds").as_deref(), Some("s"));
    assert_eq!(unit("heater.rounds"), None);
    // OpenMetrics has a unit only where the name ends in it, and that of the values there.
    let text = open_metrics_text(&[scrape]);
    let units: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# UNIT ")).collect();
    for line in ["heater_stored_joules joules", "heater_used_bytes bytes", "service_handling_seconds seconds"] {
        assert!(units.contains(&line), "{line} in {units:?}");
    }
    assert!(
        units.iter().all(|line| line.split_once(' ').is_some_and(|(name, unit)| name.ends_with(&format!("_{unit}"))))
    );
}

#[foundation::test]
async fn a_unit_that_the_name_denies_is_refused(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    assert_eq!(
        error_text(telemetry.unit("took_ms", Unit::SECONDS)),
        "took_ms is in milliseconds, as its name ends, and not in seconds; give it another name"
    );
    telemetry.unit("took_ms", Unit::MILLISECONDS).unwrap();
    assert!(matches!(telemetry.unit("not a name", Unit::BYTES), Err(TelemetryError::InvalidName(_))));
}

// ---- buckets ----

#[foundation::test]
async fn the_bounds_of_a_histogram_are_the_same_at_every_scrape_and_in_all_series(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let took = telemetry.family::<foundation::telemetry::Histogram>("took_seconds", 10).unwrap();
    took.update([("user", "a")], |it| it.record(0.3));
    let first = bounds(&telemetry.prometheus());
    for value in [1e-9, 0.004, 7.0, 1e9] {
        took.update([("user", "b")], |it| it.record(value));
        took.update([("user", "a")], |it| it.record(value));
    }
    // Two services that handle a message.
    telemetry.tick().await.unwrap();
    namespace.config().status().await.unwrap();
    let later = bounds(&telemetry.prometheus());
    let series =
        |user: &str| format!("took_seconds{{namespace=\"{}\",user=\"{user}\"", namespace.services().namespace());
    assert_eq!(first[&series("a")].len(), 15);
    assert_eq!((&later[&series("a")], &later[&series("b")]), (&first[&series("a")], &first[&series("a")]));
    // Those of the services are the same for all of them.
    let of_services = later.iter().filter(|(series, _)| series.starts_with("service_handling_seconds"));
    assert_eq!(of_services.map(|(_, bounds)| bounds).collect::<BTreeSet<_>>().len(), 1);
}

/// The bounds of each series that has some.
fn bounds(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut bounds = BTreeMap::<_, Vec<_>>::new();
    for line in text.lines() {
        if let Some((series, rest)) = line.split_once(",le=\"") {
            let bound = rest.split('"').next().unwrap().to_owned();
            bounds.entry(series.replace("_bucket", "")).or_default().push(bound);
        }
    }
    bounds
}

#[foundation::test]
async fn bounds_can_be_chosen_for_a_histogram_a_family_and_a_measurement(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    telemetry.bucket_bounds("words", [10.0, 100.0]).unwrap();
    telemetry.bucket_bounds("took_seconds", [0.3]).unwrap();
    telemetry.bucket_bounds("pricing.stop.duration_ms", [250.0]).unwrap();
    [10.0, 11.0, 1e6].into_iter().for_each(|words| telemetry.histogram("words").unwrap().record(words));
    let took = telemetry.family::<foundation::telemetry::Histogram>("took_seconds", 1).unwrap();
    took.update([("user", "a")], |it| it.record(0.3));
    took.update([("user", "overflowing")], |it| it.record(0.4));
    telemetry.execute("pricing.stop", &[("duration_ms", 250.0)], &Value::Null);
    let name = namespace.services().namespace();
    let text = telemetry.prometheus();
    for line in [
        format!("words_bucket{{namespace=\"{name}\",le=\"1e1\"}} 1"),
        format!("words_bucket{{namespace=\"{name}\",le=\"1e2\"}} 2"),
        format!("words_bucket{{namespace=\"{name}\",le=\"+Inf\"}} 3"),
        format!("took_seconds_bucket{{namespace=\"{name}\",user=\"a\",le=\"3e-1\"}} 1"),
        format!("took_seconds_bucket{{namespace=\"{name}\",overflow=\"true\",le=\"3e-1\"}} 0"),
        format!("pricing_stop_duration_seconds_bucket{{namespace=\"{name}\",le=\"2.5e-1\"}} 1"),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}

#[foundation::test]
async fn bounds_are_chosen_once_and_before_the_first_use(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    telemetry.bucket_bounds("words", [10.0]).unwrap();
    telemetry.bucket_bounds("words", [10.0]).unwrap();
    let fixed = "words is in use with other bounds; choose them before its first use, and once";
    assert_eq!(error_text(telemetry.bucket_bounds("words", [10.0, 20.0])), fixed);
    telemetry.histogram("lines").unwrap();
    assert!(matches!(telemetry.bucket_bounds("lines", [10.0]), Err(TelemetryError::BoundsFixed { .. })));
    assert!(matches!(telemetry.bucket_bounds("bytes", [f64::NAN]), Err(TelemetryError::InvalidBounds { .. })));
    telemetry.counter("orders").unwrap();
    assert!(matches!(telemetry.bucket_bounds("orders", [1.0]), Err(TelemetryError::WrongKind { .. })));
}

// ---- the findings of promtool ----

/// The rules of `promtool check metrics`, of Prometheus' `promlint`.
fn found(text: &str) -> Vec<String> {
    const BASE: [&str; 11] =
        ["amperes", "bytes", "celsius", "grams", "joules", "kelvin", "meters", "metres", "moles", "seconds", "volts"];
    const NOT_BASE: [&str; 16] = [
        "minutes",
        "hours",
        "days",
        "weeks",
        "kelvins",
        "fahrenheit",
        "rankine",
        "inches",
        "yards",
        "miles",
        "bits",
        "calories",
        "pounds",
        "ounces",
        "milliseconds",
        "nanoseconds",
    ];
    const PREFIXES: [&str; 16] = [
        "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega", "mibi", "giga",
        "gibi", "tera", "peta",
    ];
    const ABBREVIATIONS: [&str; 13] = ["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h"];
    let helps: BTreeMap<_, _> = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' ')).collect();
    let mut found = Vec::new();
    for (name, kind) in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')) {
        let mut find = |what: &str| found.push(format!("{name}: {what}"));
        let words: Vec<_> = name.split('_').collect();
        if helps.get(name).is_none_or(|help| help.trim().is_empty()) {
            find("no help");
        }
        let with_prefix =
            |word: &str| PREFIXES.iter().any(|it| word.strip_prefix(it).is_some_and(|it| BASE.contains(&it)));
        if words.iter().any(|word| NOT_BASE.contains(word) || with_prefix(word)) {
            find("no base unit");
        }
        if words.iter().any(|word| ABBREVIATIONS.contains(word)) {
            find("abbreviated unit");
        }
        if (kind == "counter") != name.ends_with("_total") {
            find("counters, and only they, end in _total");
        }
        if kind != "histogram" && ["_bucket", "_count", "_sum"].iter().any(|it| name.ends_with(it)) {
            find("an ending of histograms");
        }
        if ["counter", "gauge", "histogram", "summary"].iter().any(|kind| words.contains(kind)) {
            find("its type in its name");
        }
        if name.contains(':') || name.contains(|it: char| it.is_ascii_uppercase()) {
            find("a colon, or camel case");
        }
    }
    found
}

#[test]
fn the_rules_find_what_promtool_finds() {
    let bad = "# HELP a_ns x\n# TYPE a_ns gauge\n# TYPE calls counter\n# HELP c_total x\n# TYPE c_total gauge\n";
    let expected = [
        "a_ns: abbreviated unit",
        "calls: no help",
        "calls: counters, and only they, end in _total",
        "c_total: counters, and only they, end in _total",
    ];
    assert_eq!(found(bad), expected);
}

#[foundation::test]
async fn promtool_finds_nothing_and_each_metric_of_the_foundation_is_explained(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    crash(&namespace, &Telemetry::NAME).await;
    telemetry.tick().await.unwrap();
    // A custom span and a custom event.
    telemetry.measure("pricing", async {}).await;
    telemetry.execute("orders.placed", &[("amount_bytes", 7.0)], &Value::Null);
    let text = telemetry.prometheus();
    assert_eq!(found(&text), Vec::<String>::new());
    let scrape = telemetry.scrape();
    let unexplained = scrape.families.iter().filter(|family| family.help.is_none());
    let own = |name: &str| !name.starts_with("pricing") && !name.starts_with("orders");
    let unexplained: Vec<_> = unexplained.map(|family| &*family.name).filter(|name| own(name)).collect();
    assert_eq!(unexplained, Vec::<&str>::new());
    if let Ok(file) = std::env::var("PROMETHEUS_TEXT") {
        std::fs::write(file, text).unwrap();
    }
}
