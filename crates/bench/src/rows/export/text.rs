//! The text of `/metrics` with 4,000 series.

use foundation::telemetry::{Counter, Gauge, Histogram, Telemetry};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::contest::{BenchRow, Contest, Peer};
use crate::measured::Measured;
use crate::sample::repeated;
use crate::stage::{Stage, started};

pub(super) const SERIES_OF_A_KIND: usize = 1_000;
/// As many as a duration has here.
const BOUNDS: i32 = 14;

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("metrics_text_4000", 1, text)]
}

/// Both read all instruments and write the text of the same series: 2,000 counters, 1,000 gauges, and 1,000 histograms.
fn text(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let telemetry = Telemetry::of(&stage.registry);
    fill(&telemetry);
    let recorder = started(PrometheusBuilder::new().set_buckets(&bounds())).build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, fill_peer);
    let peer = Peer::new("metrics-exporter-prometheus, render", 0.5, repeated(move || handle.render()));
    contest.between(repeated(move || telemetry.prometheus()), [peer])
}

fn bounds() -> Vec<f64> {
    (0..BOUNDS).map(|exponent| f64::from(2 * exponent - 20).exp2()).collect()
}

/// 2,000 counters, 1,000 gauges, and 1,000 histograms.
pub(super) fn fill(telemetry: &Telemetry) {
    let done = started(telemetry.family::<Counter>("bench.done", SERIES_OF_A_KIND));
    let failed = started(telemetry.family::<Counter>("bench.failed", SERIES_OF_A_KIND));
    let idle = started(telemetry.family::<Gauge>("bench.idle_seconds", SERIES_OF_A_KIND));
    let took = started(telemetry.family::<Histogram>("bench.took_seconds", SERIES_OF_A_KIND));
    for number in 0..SERIES_OF_A_KIND {
        let labels = || [("service", format!("service-{number}"))];
        started(done.with(labels())).add(number as u64);
        started(failed.with(labels())).increment();
        started(idle.with(labels())).set(number as f64 / 8.0);
        started(took.with(labels())).record(number as f64 / 1_000.0);
    }
}

fn fill_peer() {
    for number in 0..SERIES_OF_A_KIND {
        let service = format!("service-{number}");
        metrics::counter!("bench_done", "service" => service.clone()).increment(number as u64);
        metrics::counter!("bench_failed", "service" => service.clone()).increment(1);
        metrics::gauge!("bench_idle_seconds", "service" => service.clone()).set(number as f64 / 8.0);
        metrics::histogram!("bench_took_seconds", "service" => service).record(number as f64 / 1_000.0);
    }
}
