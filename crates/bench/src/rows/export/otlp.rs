//! A request of OTLP with 4,000 series.

use std::hint::black_box;
use std::time::Duration;

use foundation::telemetry::Telemetry;
use foundation_export::{Batch, Format, Otlp};
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{
    Aggregation, Instrument, InstrumentKind, PeriodicReader, SdkMeterProvider, Stream, Temporality,
};
use prost::Message;

use super::text::{SERIES_OF_A_KIND, fill};
use crate::contest::{BenchRow, Contest, Peer};
use crate::measured::Measured;
use crate::sample::repeated;
use crate::stage::{Stage, started};

/// Longer than a run: the reader collects when it is flushed.
const NEVER: Duration = Duration::from_secs(86_400);

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("otlp_encode_4000", 1, encode)]
}

/// Both read all instruments and encode the same series as one request, histograms as exponential ones.
fn encode(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let telemetry = Telemetry::of(&stage.registry);
    fill(&telemetry);
    let provider = peer();
    let flush = repeated(move || started(provider.force_flush()));
    let peer = Peer::new("opentelemetry_sdk, collect and encode", 0.33, flush);
    contest.between(repeated(move || started(Otlp::encode(&Batch::new(telemetry.scrape(), usize::MAX)))), [peer])
}

/// Encodes what it gets, and sends it nowhere.
///
/// Readers of one's own are experimental in `opentelemetry_sdk`. So its periodic reader collects on its thread, and a flush waits
/// for it: two changes of thread are part of the time.
struct Encoder;

impl PushMetricExporter for Encoder {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        black_box(ExportMetricsServiceRequest::from(metrics).encode_to_vec());
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

fn exponential(instrument: &Instrument) -> Option<Stream> {
    let aggregation = Aggregation::Base2ExponentialHistogram { max_size: 160, max_scale: 20, record_min_max: true };
    let is_histogram = instrument.kind() == InstrumentKind::Histogram;
    is_histogram.then(|| started(Stream::builder().with_aggregation(aggregation).build()))
}

fn peer() -> SdkMeterProvider {
    let reader = PeriodicReader::builder(Encoder).with_interval(NEVER).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).with_view(exponential).build();
    let meter = provider.meter("bench");
    let done = meter.u64_counter("bench.done").build();
    let failed = meter.u64_counter("bench.failed").build();
    let idle = meter.f64_gauge("bench.idle_seconds").with_unit("s").build();
    let took = meter.f64_histogram("bench.took_seconds").with_unit("s").build();
    for number in 0..SERIES_OF_A_KIND {
        let labels = [KeyValue::new("service", format!("service-{number}"))];
        done.add(number as u64, &labels);
        failed.add(1, &labels);
        idle.record(number as f64 / 8.0, &labels);
        took.record(number as f64 / 1_000.0, &labels);
    }
    provider
}
