//! Sends what `foundation-export` writes to receivers that others have written; `.ci/receivers` starts them, and this.
//!
//! It serves text by HTTP, `/small` with 421 series and `/large` with more than 40,000, and prints the address. Before that it
//! exports once to each receiver that the environment names: `STATSD` (host:port), `OTLP_HTTP` and `OTLP_GRPC` (URLs). It runs
//! until it is ended.

use std::env;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foundation::names::Namespace;
use foundation::telemetry::{Counter, Gauge, Histogram, Telemetry, open_metrics_text, prometheus_text};
use foundation::{Foundation, Services};
use foundation_export::{
    ExportSchedule, ExporterSpec, Exports, MetricsText, OtlpExporter, Statsd, StatsdExporter, StatsdTarget,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const SMALL: usize = 421;
/// What each of the four namespaces has besides its own.
const SERIES_OF_A_KIND: usize = 2_475;
const LIMIT: Duration = Duration::from_secs(60);
const MAX_REQUEST: usize = 16_384;

#[tokio::main]
async fn main() -> Result<()> {
    let foundation = Foundation::builder().service(Exports::service()).start().await?;
    let production = foundation.production().clone();
    three_services(production.telemetry())?;
    let items = fill_up(production.telemetry(), SMALL)?;
    let exports = Exports::of(production.registry());
    if let Ok(receiver) = env::var("STATSD") {
        to_statsd(&exports, production.telemetry(), &items, &receiver).await?;
    }
    for (name, url) in ["OTLP_HTTP", "OTLP_GRPC"].into_iter().filter_map(|name| Some((name, env::var(name).ok()?))) {
        let exporter = if name == "OTLP_HTTP" { OtlpExporter::http(&url) } else { OtlpExporter::grpc(&url) };
        let exporter = exporter?.attribute("service.name", "receivers")?;
        to(&exports, "otlp", ExporterSpec::new(move || exporter.clone())).await?;
        exports.unregister("otlp").await?;
    }
    let mut namespaces = vec![production];
    for name in ["load-1", "load-2", "load-3", "load-4"] {
        let services = foundation.namespace(Namespace::named(name)?).await?;
        load(services.telemetry())?;
        namespaces.push(services);
    }
    serve(namespaces.into()).await
}

/// Three services, one of which is a hundred times as slow as another.
fn three_services(telemetry: &Telemetry) -> Result<()> {
    let sizes = telemetry.family::<Histogram>("probe.size", 3)?;
    for (service, value) in [("a", 300.0), ("b", 3_000.0), ("c", 30_000.0)] {
        let histogram = sizes.with([("service", service)])?;
        (0..100).for_each(|_| histogram.record(value));
    }
    Ok(())
}

/// Adds series until there are so many.
fn fill_up(telemetry: &Telemetry, series: usize) -> Result<Vec<Arc<Counter>>> {
    let there: usize = telemetry.scrape().families.iter().map(|family| family.series.len()).sum();
    let items = telemetry.family::<Counter>("probe.items", series)?;
    let counters = (there..series).map(|item| {
        let counter = items.with([("item", item.to_string())])?;
        counter.add(item as u64);
        Ok(counter)
    });
    counters.collect()
}

fn load(telemetry: &Telemetry) -> Result<()> {
    let done = telemetry.family::<Counter>("load.done", SERIES_OF_A_KIND)?;
    let failed = telemetry.family::<Counter>("load.failed", SERIES_OF_A_KIND)?;
    let waiting = telemetry.family::<Gauge>("load.waiting", SERIES_OF_A_KIND)?;
    let took = telemetry.family::<Histogram>("load.took_ms", SERIES_OF_A_KIND)?;
    for number in 0..SERIES_OF_A_KIND {
        let labels = || [("job", number.to_string())];
        done.with(labels())?.add(number as u64);
        failed.with(labels())?.increment();
        waiting.with(labels())?.set(number as f64 / 8.0 - 100.0);
        took.with(labels())?.record(number as f64);
    }
    Ok(())
}

async fn to(exports: &Exports, name: &str, spec: ExporterSpec) -> Result<()> {
    exports.register(name, spec.schedule(ExportSchedule::on_demand()).timeout(LIMIT)).await?;
    let exported = exports.now(name, LIMIT).await?;
    if let Some((series, reason)) = exported.rejected {
        return Err(format!("{name}: {series} series were rejected: {reason}").into());
    }
    println!("{name}: {} series, {} bytes", exported.series, exported.bytes);
    Ok(())
}

/// Through a relay that counts the lines. The counters grow after the first export, and so have a growth to send.
async fn to_statsd(exports: &Exports, telemetry: &Telemetry, items: &[Arc<Counter>], receiver: &str) -> Result<()> {
    let relay = UdpSocket::bind("127.0.0.1:0").await?;
    let target = StatsdTarget::new(&relay.local_addr()?.to_string())?;
    let (forward, lines) = (UdpSocket::bind("127.0.0.1:0").await?, Arc::new(AtomicUsize::new(0)));
    forward.connect(receiver).await?;
    let relay = UdpRelay { relay, forward, lines: Arc::clone(&lines) };
    let relaying = tokio::spawn(relay.run());
    let orders = telemetry.counter("probe.orders")?;
    to(exports, "statsd", ExporterSpec::new(move || StatsdExporter::<Statsd>::new(target.clone()))).await?;
    orders.add(44);
    items.iter().for_each(|item| item.increment());
    exports.now("statsd", LIMIT).await?;
    exports.unregister("statsd").await?;
    relaying.abort();
    println!("statsd lines: {}", lines.load(Ordering::Relaxed));
    Ok(())
}

struct UdpRelay {
    relay: UdpSocket,
    forward: UdpSocket,
    lines: Arc<AtomicUsize>,
}

impl UdpRelay {
    async fn run(self) {
        let mut datagram = vec![0; 65_536];
        while let Ok(length) = self.relay.recv(&mut datagram).await {
            let text = &datagram[..length];
            self.lines.fetch_add(text.split(|it| *it == b'\n').filter(|it| !it.is_empty()).count(), Ordering::Relaxed);
            drop(self.forward.send(text).await);
        }
    }
}

async fn serve(namespaces: Arc<[Services]>) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("serving {}", listener.local_addr()?);
    loop {
        let (connection, _) = listener.accept().await?;
        tokio::spawn(answer(connection, Arc::clone(&namespaces)));
    }
}

async fn answer(mut connection: TcpStream, namespaces: Arc<[Services]>) -> Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if connection.read_buf(&mut request).await? == 0 || request.len() > MAX_REQUEST {
            return Ok(());
        }
    }
    let request = String::from_utf8_lossy(&request);
    let of_header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("accept").then(|| value.trim().to_owned())
    };
    let chosen = MetricsText::negotiated(&request.lines().find_map(of_header).unwrap_or_default());
    let served = if request.starts_with("GET /small ") { &namespaces[..1] } else { &namespaces[..] };
    let scrapes: Vec<_> = served.iter().map(|services| services.telemetry().scrape()).collect();
    let text = match chosen {
        MetricsText::OpenMetrics => open_metrics_text(&scrapes),
        MetricsText::Prometheus => prometheus_text(&scrapes),
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        chosen.content_type(),
        text.len()
    );
    connection.write_all(head.as_bytes()).await?;
    connection.write_all(text.as_bytes()).await?;
    Ok(connection.shutdown().await?)
}
