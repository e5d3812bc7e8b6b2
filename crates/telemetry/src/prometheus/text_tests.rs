//! The exposition, read by an independent parser.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use foundation_kernel::instruments::{Bounds, Counter, Gauge, Histogram};
use foundation_kernel::names::Namespace;
use prom_text_format_parser::{Metric, Scrape as Parsed, Type, ValueType};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;
use crate::labels::Labels;

fn scrape(namespace: Namespace, families: Vec<MetricFamily>) -> Scrape {
    Scrape { namespace, taken_at: UNIX_EPOCH, families }
}

fn family(name: &str, reading: Reading) -> MetricFamily {
    labelled(name, vec![(Labels::default(), reading)])
}

fn labelled(name: &str, series: Vec<(Labels, Reading)>) -> MetricFamily {
    let kind = series[0].1.kind();
    let series = series.into_iter().map(|(labels, reading)| Series::new(labels, UNIX_EPOCH, reading));
    MetricFamily::new(name.into(), kind, series)
}

fn histogram(values: &[f64]) -> Reading {
    let histogram = Histogram::new();
    values.iter().for_each(|value| histogram.record(*value));
    Reading::from(&histogram)
}

fn parsed(text: &str) -> Parsed {
    Parsed::parse(text).unwrap_or_else(|error| panic!("{error:?} in\n{text}"))
}

/// The samples of one metric, without the label of the namespace.
fn samples(metric: &Metric) -> BTreeMap<(String, String), f64> {
    let sample = |sample: &prom_text_format_parser::Sample| {
        let labels = sample.labels.iter().filter(|label| label.key != "namespace");
        let labels = labels.map(|label| format!("{}={}", label.key, unescaped(&label.value)));
        let part = match sample.value.value_type {
            ValueType::Count => "count",
            ValueType::Sum => "sum",
            _ if sample.labels.iter().any(|label| label.key == "le") => "bucket",
            _ => "",
        };
        ((part.to_owned(), labels.collect::<Vec<_>>().join(",")), sample.value.value.as_f64())
    };
    metric.samples.iter().map(sample).collect()
}

/// The parser returns the text between the quotes unchanged.
fn unescaped(value: &str) -> String {
    let (mut plain, mut rest) = (String::new(), value.chars());
    while let Some(character) = rest.next() {
        plain.push(match character {
            '\\' => match rest.next() {
                Some('n') => '\n',
                other => other.unwrap(),
            },
            other => other,
        });
    }
    plain
}

#[test]
fn the_format_is_that_of_prometheus() {
    let labels = Labels::new([("path", r#"C:\"x""#)]).unwrap();
    let mut requests = labelled("http.requests", vec![(labels, Reading::Counter(3))]);
    requests.help = Some(Arc::from("asked\\answered\nor not"));
    let latency = Histogram::with_bounds(Bounds::new([1.0, 2.5, 3.0]).unwrap());
    [0.75, 1.0, 3.0].into_iter().for_each(|value| latency.record(value));
    let families = vec![requests, family("latency_ms", Reading::from(&latency)), family("load", Reading::Gauge(0.5))];
    let expected = r#"# HELP http_requests_total asked\\answered\nor not
# TYPE http_requests_total counter
http_requests_total{namespace="production",path="C:\\\"x\""} 3
# HELP latency_seconds latency_ms
# TYPE latency_seconds histogram
latency_seconds_bucket{namespace="production",le="1e-3"} 2
latency_seconds_bucket{namespace="production",le="2.5e-3"} 2
latency_seconds_bucket{namespace="production",le="3e-3"} 3
latency_seconds_bucket{namespace="production",le="+Inf"} 3
latency_seconds_sum{namespace="production"} 4.75e-3
latency_seconds_count{namespace="production"} 3
# HELP load load
# TYPE load gauge
load{namespace="production"} 5e-1
"#;
    let text = prometheus_text(&[scrape(Namespace::Production, families)]);
    assert_eq!(text, expected);
    let parsed = parsed(&text);
    let kinds: Vec<_> = parsed.metrics.iter().map(|metric| (&*metric.name, metric.kind)).collect();
    let expected =
        [("http_requests_total", Type::Counter), ("latency_seconds", Type::Histogram), ("load", Type::Gauge)];
    assert_eq!(kinds, expected);
}

#[test]
fn the_other_format_is_that_of_open_metrics() {
    let latency = Histogram::with_bounds(Bounds::new([1.0, 2.5e9]).unwrap());
    latency.record(2.0);
    let mut requests = family("http.requests", Reading::Counter(3));
    requests.help = Some(Arc::from("asked \"in time\""));
    let families = vec![requests, family("latency_ms", Reading::from(&latency)), family("load", Reading::Gauge(0.5))];
    let expected = r#"# TYPE http_requests counter
# HELP http_requests asked \"in time\"
http_requests_total{namespace="production"} 3
http_requests_created{namespace="production"} 0.000
# TYPE latency_seconds histogram
# UNIT latency_seconds seconds
# HELP latency_seconds latency_ms
latency_seconds_bucket{namespace="production",le="0.001"} 0
latency_seconds_bucket{namespace="production",le="2.5e+06"} 1
latency_seconds_bucket{namespace="production",le="+Inf"} 1
latency_seconds_sum{namespace="production"} 2e-3
latency_seconds_count{namespace="production"} 1
latency_seconds_created{namespace="production"} 0.000
# TYPE load gauge
# HELP load load
load{namespace="production"} 5e-1
# EOF
"#;
    assert_eq!(open_metrics_text(&[scrape(Namespace::Production, families)]), expected);
    let bounds =
        [0.0, 1e-9, 1e-4, 0.25, 1.0, 10.0, 999_999.5, 1e6, 1_048_576.0].map(|bound| Canonical(bound).to_string());
    assert_eq!(bounds, ["0.0", "1e-09", "0.0001", "0.25", "1.0", "10.0", "999999.5", "1e+06", "1.048576e+06"]);
}

#[test]
fn namespaces_are_distinguished_and_stand_together() {
    let test = Namespace::test();
    let of = |namespace, count| {
        scrape(namespace, vec![family("a", Reading::Gauge(1.0)), family("b", Reading::Counter(count))])
    };
    let parsed = parsed(&prometheus_text(&[of(Namespace::Production, 1), of(test, 2)]));
    let b = &parsed.metrics[1];
    let values = b.samples.iter().map(|it| (it.labels.iter().next().unwrap().value.clone(), it.value.value.as_f64()));
    assert_eq!(values.collect::<Vec<_>>(), [("production".to_owned(), 1.0), (test.to_string(), 2.0)]);
    assert_eq!(parsed.metrics.len(), 2);
}

#[test]
fn a_name_that_two_namespaces_use_for_different_kinds_stays_with_the_first_of_them() {
    let first =
        scrape(Namespace::Production, vec![family("b.total", Reading::Gauge(1.0)), family("c", histogram(&[]))]);
    let second =
        vec![family("a", Reading::Gauge(1.0)), family("b", Reading::Counter(1)), family("c.sum", Reading::Gauge(2.0))];
    let third = vec![family("b.total", Reading::Gauge(1.0)), family("b_total", histogram(&[]))];
    let scrapes = [first, scrape(Namespace::test(), second), scrape(Namespace::test(), third)];
    let names = |scrapes: &[Scrape]| {
        let parsed = parsed(&prometheus_text(scrapes));
        parsed.metrics.iter().map(|metric| metric.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&scrapes[..1]), ["b_total", "c"]);
    assert_eq!(names(&scrapes), ["a", "b__total", "b_total", "b_total_", "c", "c_sum_"]);
}

#[test]
fn names_of_two_namespaces_that_become_one_are_one_family() {
    let of = |namespace, name| scrape(namespace, vec![family(name, Reading::Counter(1))]);
    let text = prometheus_text(&[of(Namespace::Production, "cache.hits"), of(Namespace::test(), "cache-hits")]);
    assert_eq!(text.matches("# TYPE cache_hits_total counter\n").count(), 1);
    assert_eq!(text.matches("\ncache_hits_total{").count(), 2);
}

fn bounds_of(text: &str) -> Vec<String> {
    let bucket = |line: &str| line.split_once("le=\"").map(|(_, rest)| rest.split('"').next().unwrap().to_owned());
    text.lines().filter_map(bucket).collect()
}

#[test]
fn the_bounds_of_a_duration_are_the_same_seconds_in_whichever_unit_it_is_measured() {
    let bounds = |name: &str| {
        let text = prometheus_text(&[scrape(Namespace::Production, vec![family(name, histogram(&[]))])]);
        assert!(text.contains("# TYPE took_seconds histogram\n"), "{text}");
        let bounds: Vec<f64> = bounds_of(&text).iter().filter_map(|bound| bound.parse().ok()).collect();
        bounds.into_iter().filter(|bound| bound.is_finite()).collect::<Vec<_>>()
    };
    for name in ["took_ns", "took_nanoseconds", "took_microseconds", "took_ms", "took_seconds", "took.seconds"] {
        let bounds = bounds(name);
        assert_eq!(bounds.len(), 14);
        assert!(bounds.windows(2).all(|pair| (pair[1] / pair[0] - 4.0).abs() < 1e-9), "{bounds:?}");
        assert!((0.9e-6..1.1e-6).contains(&bounds[0]) && (60.0..70.0).contains(&bounds[13]), "{bounds:?}");
    }
}

#[test]
fn all_values_are_converted_to_base_units() {
    let families = vec![
        family("busy_ms", Reading::Counter(1_500)),
        family("idle_ns", Reading::Gauge(2e9)),
        family("took_ms", histogram(&[250.0])),
    ];
    let text = prometheus_text(&[scrape(Namespace::Production, families)]);
    for line in ["busy_seconds_total{namespace=\"production\"} 1.5e0\n", "idle_seconds{namespace=\"production\"} 2e0\n"]
    {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.contains("took_seconds_sum{namespace=\"production\"} 2.5e-1\n"), "{text}");
    assert!(text.contains("le=\"2.56e-1\"} 1\n") && text.contains("le=\"6.4e-2\"} 0\n"), "{text}");
}

#[test]
fn numbers_that_are_no_finite_ones_have_prometheus_words() {
    let shown = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.5].map(|value| Number(value).to_string());
    assert_eq!(shown, ["NaN", "+Inf", "-Inf", "0e0", "-1.5e0"]);
}

fn any_labels() -> impl Strategy<Value = Labels> {
    // Letters, and characters that need an escape; a first character, as the parser knows no empty values.
    let value = r#"x[a-z"\\{},= äß]{0,8}"#;
    btree_map("[a-z][a-z0-9_]{1,6}", value, 0..4).prop_filter_map("a reserved key", |pairs| Labels::new(pairs).ok())
}

fn any_family() -> impl Strategy<Value = Vec<(Labels, Reading)>> {
    let counters = btree_map(any_labels(), any::<u32>().prop_map(|it| Reading::Counter(it.into())), 1..5);
    let gauges = btree_map(any_labels(), any::<f64>().prop_map(Reading::Gauge), 1..5);
    let values = vec(prop_oneof![0.0..1e6f64, Just(0.0), Just(1e30)], 0..10);
    let histograms = btree_map(any_labels(), values.prop_map(|values| histogram(&values)), 1..3);
    prop_oneof![counters, gauges, histograms].prop_map(|series| series.into_iter().collect())
}

/// The samples to be read back of a series; each histogram's bounds are checked against its values elsewhere.
fn expected(name: &str, series: &[(Labels, Reading)]) -> BTreeMap<(String, String), f64> {
    let divisor = ExposedName::new(name, series[0].1.kind()).divisor;
    let mut all = BTreeMap::new();
    for (labels, reading) in series {
        let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut put = |part: &str, more: Option<String>, value| {
            let labels = labels.iter().cloned().chain(more).collect::<Vec<_>>().join(",");
            all.insert((part.to_owned(), labels), value);
        };
        match reading {
            Reading::Counter(value) => put("", None, *value as f64 / divisor),
            Reading::Gauge(value) => put("", None, *value / divisor),
            Reading::Histogram(summary) => {
                put("bucket", Some("le=+Inf".into()), summary.count as f64);
                put("sum", None, summary.sum / divisor);
                put("count", None, summary.count as f64);
            }
            _ => unreachable!(),
        }
    }
    all
}

proptest! {
    #[test]
    fn what_was_counted_is_read_back(families in btree_map("[a-z_][a-zA-Z0-9_.:/-]{0,8}", any_family(), 1..6)) {
        // Each by itself: clashing names are tested elsewhere.
        for (name, series) in &families {
            let parsed = parsed(&prometheus_text(&[scrape(Namespace::Production, vec![labelled(name, series.clone())])]));
            prop_assert_eq!(parsed.metrics.len(), 1);
            let (mut read, counted) = (samples(&parsed.metrics[0]), expected(name, series));
            read.retain(|(part, labels), _| part != "bucket" || labels.ends_with("le=+Inf"));
            prop_assert_eq!(read.keys().collect::<Vec<_>>(), counted.keys().collect::<Vec<_>>());
            for (read, counted) in read.values().zip(counted.values()) {
                prop_assert!(read == counted || read.is_nan() && counted.is_nan());
            }
        }
    }

    #[test]
    fn the_bounds_of_a_histogram_never_change_and_each_counts_exactly_the_values_up_to_it(
        name in "took(_ns|_ms|_seconds|_bytes)?",
        values in vec(prop_oneof![0.0..10.0f64, 0.0..1e12f64, (-12..40i32).prop_map(|it| f64::from(it).exp2())], 0..50),
    ) {
        let text = |values: &[f64]| prometheus_text(&[scrape(Namespace::Production, vec![family(&name, histogram(values))])]);
        let (empty, full) = (text(&[]), text(&values));
        prop_assert_eq!(bounds_of(&empty), bounds_of(&full));
        let divisor = ExposedName::new(&name, "histogram").divisor;
        for line in full.lines().filter(|line| line.contains("le=\"")) {
            let (bound, count) = line.rsplit_once("le=\"").unwrap().1.split_once("\"} ").unwrap();
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse::<f64>().unwrap() * divisor };
            // Multiplying back is not exact to the last bit.
            let up_to = values.iter().filter(|value| **value <= bound * (1.0 + 1e-12)).count();
            prop_assert_eq!(count.parse::<usize>().unwrap(), up_to, "{}", line);
        }
    }

    #[test]
    fn no_two_metrics_write_samples_of_one_name(names in vec(r"a([._](b|total|count|sum|bucket)){0,3}", 1..12), kinds in vec(0..3usize, 12)) {
        let reading = |kind: usize| [Reading::from(&Counter::new()), Reading::from(&Gauge::new()), histogram(&[])][kind].clone();
        let families: BTreeMap<_, _> = names.into_iter().zip(kinds).collect();
        // Each in a namespace of its own: within one the second would have been refused.
        let scrapes: Vec<_> = families.into_iter().map(|(name, kind)| scrape(Namespace::test(), vec![family(&name, reading(kind))])).collect();
        let text = prometheus_text(&scrapes);
        let mut lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap().0).collect();
        let all = lines.len();
        lines.sort_unstable();
        lines.dedup();
        prop_assert_eq!(lines.len(), all);
    }
}
