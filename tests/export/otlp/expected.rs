//! Numbers as messages of OTLP, in the types that its authors generate: what our bytes are compared with.

use std::time::{SystemTime, UNIX_EPOCH};

use foundation::telemetry::{HistogramSnapshot, Labels, MetricFamily, Reading, Scrape, Series};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// All numbers as one request, with these attributes of its resource besides the namespace.
pub(super) fn request(scrape: &Scrape, attributes: &[(&str, &str)]) -> ExportMetricsServiceRequest {
    let namespace = scrape.namespace.to_string();
    let all = [("foundation.namespace", &*namespace)].into_iter().chain(attributes.iter().copied());
    let attributes = all.map(|(key, value)| attribute(key, value)).collect();
    let scope = InstrumentationScope {
        name: "foundation-export".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Default::default()
    };
    let metrics = scrape.families.iter().map(|family| metric(family, scrape.taken_at)).collect();
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, ..Default::default() }];
    let resource = Some(Resource { attributes, ..Default::default() });
    let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, ..Default::default() }];
    ExportMetricsServiceRequest { resource_metrics }
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..Default::default() }
}

fn attributes(labels: &Labels) -> Vec<KeyValue> {
    labels.iter().map(|(key, value)| attribute(key, value)).collect()
}

fn nanos(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

fn metric(family: &MetricFamily, time: SystemTime) -> Metric {
    let numbers = || family.series.iter().map(|series| number(series, time)).collect();
    let data = match family.kind {
        "counter" => Data::Sum(Sum { data_points: numbers(), aggregation_temporality: CUMULATIVE, is_monotonic: true }),
        "gauge" => Data::Gauge(Gauge { data_points: numbers() }),
        "histogram" => {
            let data_points = family.series.iter().map(|series| histogram(series, time)).collect();
            Data::ExponentialHistogram(ExponentialHistogram { data_points, aggregation_temporality: CUMULATIVE })
        }
        other => panic!("a family of kind {other}"),
    };
    let description = family.help.as_deref().unwrap_or_default().to_owned();
    let unit = family.unit.as_ref().map(|unit| unit.ucum().into_owned()).unwrap_or_default();
    Metric { name: family.name.to_string(), description, unit, data: Some(data), ..Default::default() }
}

fn number(series: &Series, time: SystemTime) -> NumberDataPoint {
    let value = match &series.reading {
        Reading::Counter(value) => Value::AsInt(i64::try_from(*value).unwrap_or(i64::MAX)),
        Reading::Gauge(value) => Value::AsDouble(*value),
        other => panic!("{other:?} is no number"),
    };
    NumberDataPoint {
        attributes: attributes(&series.labels),
        start_time_unix_nano: nanos(series.since),
        time_unix_nano: nanos(time),
        value: Some(value),
        ..Default::default()
    }
}

fn histogram(series: &Series, time: SystemTime) -> ExponentialHistogramDataPoint {
    let Reading::Histogram(summary) = &series.reading else { panic!("{:?} is no histogram", series.reading) };
    let (zero_count, positive) = buckets(summary);
    ExponentialHistogramDataPoint {
        attributes: attributes(&series.labels),
        start_time_unix_nano: nanos(series.since),
        time_unix_nano: nanos(time),
        count: summary.count,
        sum: Some(summary.sum),
        zero_count,
        positive,
        min: summary.min,
        max: summary.max,
        zero_threshold: 2_f64.powi(-32),
        ..Default::default()
    }
}

/// How many values count as zero, and the buckets from the first that has a value to the last: one for each octave.
fn buckets(summary: &HistogramSnapshot) -> (u64, Option<Buckets>) {
    let at_most = |exponent: i32| {
        let bounds = summary.buckets.iter().take_while(|(known, _)| *known <= exponent);
        bounds.last().map_or(0, |(_, count)| *count)
    };
    // Index i has the values above 2^i and up to 2^(i+1); what is above 2^64 is in the count alone.
    let above = |index: i32| if index == 64 { summary.count } else { at_most(index + 1) } - at_most(index);
    let used: Vec<_> = (-32..=64).filter(|index| above(*index) > 0).collect();
    let buckets = used.first().map(|first| {
        let bucket_counts = (*first..=used[used.len() - 1]).map(above).collect();
        Buckets { offset: *first, bucket_counts }
    });
    (at_most(-32), buckets)
}
