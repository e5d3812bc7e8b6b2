//! The bytes are those that the types of OTLP's authors give.

use foundation::telemetry::{Counter, Gauge, Histogram, Scrape, Telemetry, Unit};
use foundation_export::{Batch, Format, Otlp};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use proptest::prelude::*;
use prost::Message;

use super::expected::request;
use super::receiver::{self, MANY};
use crate::setup::start;

/// Counters, gauges and histograms in equal parts.
fn fill(telemetry: &Telemetry, series: usize) {
    let counters = telemetry.family::<Counter>("orders", series).unwrap();
    let gauges = telemetry.family::<Gauge>("level", series).unwrap();
    let histograms = telemetry.family::<Histogram>("latency_ns", series).unwrap();
    for number in 0..series {
        let (user, amount) = (number.to_string(), number as f64);
        match number % 3 {
            0 => counters.update([("user", &*user), ("tier", "gold")], |counter| counter.add(number as u64)),
            1 => gauges.update([("user", &*user)], |gauge| gauge.set(amount / 7.0 - 100.0)),
            _ => histograms.update([("user", &*user)], |histogram| {
                (1..5).for_each(|factor| histogram.record(amount * f64::from(factor)));
            }),
        }
    }
}

fn same_bytes(scrape: Scrape) -> usize {
    let batch = Batch::new(scrape, usize::MAX);
    let ours = Otlp::encode(&batch).unwrap();
    let theirs = request(batch.scrape(), &[]).encode_to_vec();
    assert!(ours.as_bytes() == theirs, "{} series differ", batch.series());
    batch.series()
}

#[tokio::test]
async fn a_few_hundred_series_have_the_bytes_that_others_give_them() {
    let (foundation, _exports) = start().await;
    fill(foundation.telemetry(), 400);
    assert!(same_bytes(foundation.telemetry().scrape()) >= 400);
}

#[tokio::test]
async fn forty_thousand_series_have_the_bytes_that_others_give_them() {
    let (foundation, _exports) = start().await;
    fill(foundation.telemetry(), 9_000);
    let mut scrape = foundation.telemetry().scrape();
    // More than one namespace may have: each of them five times.
    for family in &mut scrape.families {
        let once = family.series.clone();
        (0..4).for_each(|_| family.series.extend_from_slice(&once));
    }
    assert!(same_bytes(scrape) >= 40_000);
}

#[tokio::test]
async fn more_than_four_mebibytes_are_cut_between_series_and_lose_none() {
    let (foundation, exports) = start().await;
    receiver::fill(foundation.telemetry());
    let encoded = exports.encode("otlp").unwrap();
    let request = ExportMetricsServiceRequest::decode(encoded.as_bytes()).unwrap();
    assert_eq!(request.resource_metrics.len(), 2);
    let mut found = Vec::new();
    for part in &request.resource_metrics {
        assert!(part.encoded_len() <= 4 * 1_024 * 1_024, "{}", part.encoded_len());
        assert_eq!(part.resource, request.resource_metrics[0].resource);
        for metric in part.scope_metrics[0].metrics.iter().filter(|metric| metric.name == "orders") {
            let Some(Data::Sum(sum)) = &metric.data else { panic!("{metric:?}") };
            found.extend(sum.data_points.iter().map(|point| point.value.unwrap()));
        }
    }
    let order = |value: &Value| if let Value::AsInt(number) = value { *number } else { -1 };
    found.sort_by_key(order);
    assert!(found.iter().map(order).eq(0..MANY as i64));
}

#[tokio::test]
async fn a_counter_beyond_the_greatest_whole_number_of_otlp_stays_at_it() {
    let (foundation, _exports) = start().await;
    foundation.telemetry().counter("great").unwrap().add(u64::MAX);
    let batch = Batch::new(foundation.telemetry().scrape(), usize::MAX);
    let ours = ExportMetricsServiceRequest::decode(Otlp::encode(&batch).unwrap().as_bytes()).unwrap();
    let metrics = &ours.resource_metrics[0].scope_metrics[0].metrics;
    let great = metrics.iter().find(|metric| metric.name == "great").unwrap();
    let Some(Data::Sum(sum)) = &great.data else { panic!("{great:?}") };
    assert_eq!(sum.data_points[0].value, Some(Value::AsInt(i64::MAX)));
}

#[tokio::test]
async fn the_unit_of_a_family_is_that_of_its_metric() {
    let (foundation, _exports) = start().await;
    let telemetry = foundation.telemetry();
    fill(telemetry, 3);
    telemetry.unit("orders", Unit::new("orders").unwrap()).unwrap();
    let batch = Batch::new(telemetry.scrape(), usize::MAX);
    let ours = ExportMetricsServiceRequest::decode(Otlp::encode(&batch).unwrap().as_bytes()).unwrap();
    let metrics = &ours.resource_metrics[0].scope_metrics[0].metrics;
    let unit = |name: &str| &*metrics.iter().find(|metric| metric.name == name).unwrap().unit;
    assert_eq!(["latency_ns", "orders", "level"].map(unit), ["ns", "{orders}", ""]);
}

/// A series: its kind, the values of its labels, and its numbers.
type Drawn = (u8, Vec<String>, Vec<f64>);

fn drawn() -> impl Strategy<Value = Drawn> {
    let label = proptest::string::string_regex("[^\\pC]{1,20}").unwrap();
    (0_u8..3, proptest::collection::vec(label, 0..6), proptest::collection::vec(any::<f64>(), 0..20))
}

fn record(telemetry: &Telemetry, (kind, values, numbers): &Drawn) {
    let keys = ["a", "b", "c", "d", "e", "f"];
    let labels = || keys.into_iter().zip(values.iter().map(String::as_str)).collect::<Vec<_>>();
    match kind {
        0 => telemetry
            .family::<Counter>("counter", 100)
            .unwrap()
            .update(labels(), |counter| numbers.iter().for_each(|number| counter.add(number.to_bits() >> 3))),
        1 => telemetry
            .family::<Gauge>("gauge", 100)
            .unwrap()
            .update(labels(), |gauge| numbers.iter().for_each(|number| gauge.set(*number))),
        _ => telemetry
            .family::<Histogram>("histogram", 100)
            .unwrap()
            .update(labels(), |histogram| numbers.iter().for_each(|number| histogram.record(number.abs()))),
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_series_have_the_bytes_that_others_give_them(series in proptest::collection::vec(drawn(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (foundation, _exports) = start().await;
            series.iter().for_each(|drawn| record(foundation.telemetry(), drawn));
            same_bytes(foundation.telemetry().scrape());
            foundation.shutdown().await;
        });
    }
}
