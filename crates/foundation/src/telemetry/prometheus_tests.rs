//! The exposition, read by a parser of others.

use std::collections::BTreeMap;
use std::sync::Arc;

use foundation_core::{Counter, Gauge, Histogram, Namespace};
use prom_text_format_parser::{Metric, Scrape as Parsed, Type, ValueType};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::super::scrape::Series;
use super::*;

fn scrape(namespace: Namespace, families: Vec<MetricFamily>) -> Scrape {
    Scrape { namespace, families }
}

fn family(name: &str, reading: Reading) -> MetricFamily {
    labelled(name, vec![(Labels::default(), reading)])
}

fn labelled(name: &str, series: Vec<(Labels, Reading)>) -> MetricFamily {
    let kind = series[0].1.kind();
    MetricFamily::new(name.into(), kind, series.into_iter().map(|(labels, it)| Series::new(labels, it)).collect())
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

/// The parser leaves what is between the quotes as it is.
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
    let families = vec![requests, family("latency", histogram(&[0.75, 1.0, 3.0])), family("load", Reading::Gauge(0.5))];
    let expected = r#"# HELP http_requests_total asked\\answered\nor not
# TYPE http_requests_total counter
http_requests_total{namespace="production",path="C:\\\"x\""} 3
# HELP latency latency
# TYPE latency histogram
latency_bucket{namespace="production",le="5e-1"} 0
latency_bucket{namespace="production",le="1e0"} 2
latency_bucket{namespace="production",le="2e0"} 2
latency_bucket{namespace="production",le="4e0"} 3
latency_bucket{namespace="production",le="+Inf"} 3
latency_sum{namespace="production"} 4.75e0
latency_count{namespace="production"} 3
# HELP load load
# TYPE load gauge
load{namespace="production"} 5e-1
"#;
    let text = prometheus_text(&[scrape(Namespace::Production, families)]);
    assert_eq!(text, expected);
    let parsed = parsed(&text);
    let kinds: Vec<_> = parsed.metrics.iter().map(|metric| (&*metric.name, metric.kind)).collect();
    let expected = [("http_requests_total", Type::Counter), ("latency", Type::Histogram), ("load", Type::Gauge)];
    assert_eq!(kinds, expected);
}

#[test]
fn namespaces_are_told_apart_and_stand_together() {
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
fn names_that_become_one_are_kept_apart() {
    let families = vec![
        family("a", histogram(&[1.0])),
        family("a.b", Reading::Counter(1)),
        family("a.count", Reading::Gauge(2.0)),
        family("a_b", Reading::Counter(3)),
        family("a_b_total", Reading::Gauge(4.0)),
        family("a_b.total", Reading::Counter(5)),
    ];
    let parsed = parsed(&prometheus_text(&[scrape(Namespace::Production, families)]));
    let names: Vec<_> = parsed.metrics.iter().map(|metric| &*metric.name).collect();
    assert_eq!(names, ["a", "a_b_total", "a_count_", "a_b_total_", "a_b_total_2", "a_b_total_3"]);
}

#[test]
fn numbers_that_are_no_finite_ones_have_prometheus_words() {
    let shown = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.5].map(|value| Number(value).to_string());
    assert_eq!(shown, ["NaN", "+Inf", "-Inf", "0e0", "-1.5e0"]);
}

fn any_labels() -> impl Strategy<Value = Labels> {
    // Letters, and whatever wants to be escaped; a first character, as the parser knows no empty values.
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

/// What is to be read back of a series.
fn expected(series: &[(Labels, Reading)]) -> BTreeMap<(String, String), f64> {
    let mut all = BTreeMap::new();
    for (labels, reading) in series {
        let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut put = |part: &str, more: Option<String>, value| {
            let labels = labels.iter().cloned().chain(more).collect::<Vec<_>>().join(",");
            all.insert((part.to_owned(), labels), value);
        };
        match reading {
            Reading::Counter(value) => put("", None, *value as f64),
            Reading::Gauge(value) => put("", None, *value),
            Reading::Histogram(summary) => {
                for (exponent, count) in &summary.buckets {
                    put("bucket", Some(format!("le={:e}", f64::from(*exponent).exp2())), *count as f64);
                }
                put("bucket", Some("le=+Inf".into()), summary.count as f64);
                put("sum", None, summary.sum);
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
        let given: Vec<_> = families.iter().map(|(name, series)| labelled(name, series.clone())).collect();
        let parsed = parsed(&prometheus_text(&[scrape(Namespace::Production, given)]));
        prop_assert_eq!(parsed.metrics.len(), families.len());
        for (metric, series) in parsed.metrics.iter().zip(families.values()) {
            let (read, counted) = (samples(metric), expected(series));
            prop_assert_eq!(read.keys().collect::<Vec<_>>(), counted.keys().collect::<Vec<_>>());
            for (read, counted) in read.values().zip(counted.values()) {
                prop_assert!(read == counted || read.is_nan() && counted.is_nan());
            }
        }
    }

    #[test]
    fn no_two_metrics_write_samples_of_one_name(names in vec(r"a([._](b|total|count|sum|bucket)){0,3}", 1..12), kinds in vec(0..3usize, 12)) {
        let reading = |kind: usize| [Reading::from(&Counter::new()), Reading::from(&Gauge::new()), histogram(&[])][kind].clone();
        let families: BTreeMap<_, _> = names.into_iter().zip(kinds).collect();
        let families = families.into_iter().map(|(name, kind)| family(&name, reading(kind))).collect();
        let text = prometheus_text(&[scrape(Namespace::Production, families)]);
        let mut lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap().0).collect();
        let all = lines.len();
        lines.sort_unstable();
        lines.dedup();
        prop_assert_eq!(lines.len(), all);
    }
}
