//! Numbers as a request of OTLP.
//!
//! The numbers of the fields are those of `opentelemetry/proto/metrics/v1/metrics.proto`, and fields are written in the order in
//! which code that is generated from it writes them.
//!
//! A request is cut into parts, one after the other, each of them a `ResourceMetrics`: a receiver takes them together as one
//! request, or each as a request of its own. So the numbers are encoded once for all exporters, whatever each says of its resource.

use std::time::{SystemTime, UNIX_EPOCH};

use foundation_kernel::instruments::{HistogramSnapshot, Reading};
use foundation_telemetry::{Labels, MetricFamily, Scrape, Series, Unit};

use super::histogram::{Octaves, ZERO_THRESHOLD};
use super::wire::Writer;
use crate::batch::Batch;
use crate::encoded::{EncodeError, Encoded};
use crate::format::Format;

/// The greatest body of a request, in bytes: what receivers of gRPC take.
pub(super) const MAX_BODY: usize = 4 * 1_024 * 1_024;
/// What is left of a body for its resource and for what goes before each part.
pub(super) const MAX_RESOURCE: usize = 64 * 1_024;
/// What a metric takes at most besides its texts and points.
const METRIC: usize = 64;
/// `AGGREGATION_TEMPORALITY_CUMULATIVE`: each point counts from the start time of its series.
const CUMULATIVE: u64 = 2;
/// The attribute of the resource that has the namespace.
pub(super) const NAMESPACE: &str = "foundation.namespace";

/// OTLP, the protocol of OpenTelemetry, version 1: a binary `ExportMetricsServiceRequest`.
///
/// | | in OTLP |
/// |---|---|
/// | namespace | attribute `foundation.namespace` of the resource |
/// | counter | `Sum`, monotonic and cumulative, a whole number of at most 2^63 - 1 |
/// | gauge | `Gauge` |
/// | histogram | `ExponentialHistogram`, cumulative, of scale 0: without a loss. Values up to 2^-32 count as zero |
/// | [`unit`](MetricFamily::unit) | unit of the metric, as [`Unit::ucum`] writes it |
/// | [`since`](foundation_telemetry::Series::since), [`taken_at`](foundation_telemetry::Scrape::taken_at) | start time, time |
///
/// Each 4 MiB begin a `ResourceMetrics` of their own. Cost: one pass over the series; only a histogram allocates, its octaves.
#[derive(Debug, Clone, Copy)]
pub struct Otlp;

impl Format for Otlp {
    const NAME: &'static str = "otlp";
    const CONTENT_TYPE: &'static str = "application/x-protobuf";

    fn encode(batch: &Batch) -> Result<Encoded, EncodeError> {
        Ok(Encoded::from(request(batch.scrape(), MAX_BODY - MAX_RESOURCE)))
    }
}

fn request(scrape: &Scrape, max_part: usize) -> Vec<u8> {
    let mut parts = Parts::new(scrape, max_part);
    for family in &scrape.families {
        for series in &family.series {
            parts.add(family, series);
        }
        parts.end_metric(family);
    }
    parts.end_part();
    parts.request.into_bytes()
}

/// The parts of a request that is being written.
struct Parts {
    max_part: usize,
    resource: Writer,
    time: u64,
    request: Writer,
    /// The metrics of the last part.
    metrics: Writer,
    /// The points of the metric that is being written.
    points: Writer,
}

impl Parts {
    fn new(scrape: &Scrape, max_part: usize) -> Self {
        let resource = resource(&scrape.namespace.to_string(), []);
        let (request, metrics, points) = Default::default();
        Self { max_part, resource, time: nanos(scrape.taken_at), request, metrics, points }
    }

    /// Adds a point; if there is no room for it, in a new part.
    fn add(&mut self, family: &MetricFamily, series: &Series) {
        let before = self.points.len();
        write_point(&mut self.points, series, self.time);
        let texts = texts_len(family);
        let is_first = before == 0 && self.metrics.is_empty();
        if !is_first && self.metrics.len() + self.points.len() + texts + METRIC > self.max_part {
            let point = self.points.split_off(before);
            self.end_metric(family);
            self.end_part();
            self.points.fields(&point);
        }
    }

    fn end_metric(&mut self, family: &MetricFamily) {
        if !self.points.is_empty() {
            write_metric(&mut self.metrics, family, &self.points);
            self.points.clear();
        }
    }

    fn end_part(&mut self) {
        if self.metrics.is_empty() {
            return;
        }
        self.request.message(1, |part| {
            part.fields(self.resource.as_bytes());
            part.message(2, |scope_metrics| {
                scope_metrics.message(1, |scope| {
                    scope.text(1, env!("CARGO_PKG_NAME"));
                    scope.text(2, env!("CARGO_PKG_VERSION"));
                });
                scope_metrics.fields(self.metrics.as_bytes());
            });
        });
        self.metrics.clear();
    }
}

/// The field `resource` of a part.
pub(super) fn resource<'a>(namespace: &str, attributes: impl IntoIterator<Item = (&'a str, &'a str)>) -> Writer {
    let mut part = Writer::default();
    part.message(1, |resource| {
        write_attribute(resource, 1, NAMESPACE, namespace);
        attributes.into_iter().for_each(|(key, value)| write_attribute(resource, 1, key, value));
    });
    part
}

fn write_attribute(message: &mut Writer, field: u32, key: &str, value: &str) {
    message.message(field, |attribute| {
        attribute.text(1, key);
        attribute.message(2, |any| any.present_text(1, value));
    });
}

fn write_attributes(message: &mut Writer, field: u32, labels: &Labels) {
    labels.iter().for_each(|(key, value)| write_attribute(message, field, key, value));
}

/// At most this many bytes have the texts of a metric. A symbol of a unit is not longer than its word in braces.
fn texts_len(family: &MetricFamily) -> usize {
    let unit = family.unit.as_ref().map_or(0, |unit| unit.as_str().len() + 2);
    family.name.len() + family.help.as_ref().map_or(0, |help| help.len()) + unit
}

fn write_metric(metrics: &mut Writer, family: &MetricFamily, points: &Writer) {
    let (field, is_cumulative, is_monotonic) = match family.kind {
        "gauge" => (5, false, false),
        "histogram" => (10, true, false),
        _ => (7, true, true),
    };
    metrics.message(2, |metric| {
        metric.text(1, &family.name);
        metric.text(2, family.help.as_deref().unwrap_or_default());
        metric.text(3, &family.unit.as_ref().map(Unit::ucum).unwrap_or_default());
        metric.message(field, |data| {
            data.fields(points.as_bytes());
            data.uint(2, if is_cumulative { CUMULATIVE } else { 0 });
            data.uint(3, u64::from(is_monotonic));
        });
    });
}

/// A point, in the field that has the points of all kinds of metrics.
fn write_point(points: &mut Writer, series: &Series, time: u64) {
    let start = nanos(series.since);
    match &series.reading {
        Reading::Counter(value) => {
            let value = i64::try_from(*value).unwrap_or(i64::MAX);
            points.message(1, |point| write_number(point, series, [start, time], 6, value as u64));
        }
        Reading::Gauge(value) => {
            points.message(1, |point| write_number(point, series, [start, time], 4, value.to_bits()));
        }
        Reading::Histogram(summary) => {
            points.message(1, |point| write_histogram(point, series, [start, time], summary));
        }
        _ => {}
    }
}

fn write_number(point: &mut Writer, series: &Series, [start, time]: [u64; 2], field: u32, bits: u64) {
    point.fixed64(2, start);
    point.fixed64(3, time);
    point.present_fixed64(field, bits);
    write_attributes(point, 7, &series.labels);
}

fn write_histogram(point: &mut Writer, series: &Series, [start, time]: [u64; 2], summary: &HistogramSnapshot) {
    let octaves = Octaves::of(summary);
    write_attributes(point, 1, &series.labels);
    point.fixed64(2, start);
    point.fixed64(3, time);
    point.fixed64(4, summary.count);
    point.present_fixed64(5, summary.sum.to_bits());
    // Scale 0 is what a reader assumes.
    point.fixed64(7, octaves.zero);
    if !octaves.counts.is_empty() {
        point.message(8, |buckets| {
            buckets.sint(1, octaves.offset);
            buckets.message(2, |counts| octaves.counts.iter().for_each(|count| counts.varint(*count)));
        });
    }
    let mut extreme = |field, value: Option<f64>| value.map(|value| point.present_fixed64(field, value.to_bits()));
    extreme(12, summary.min);
    extreme(13, summary.max);
    point.present_fixed64(14, ZERO_THRESHOLD.to_bits());
}

/// Nanoseconds since 1970; zero for what is unknown to OTLP.
fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
