//! A shop whose queries are now and then slow. Handlers of telemetry log each operation that takes long, and raise an alert when
//! queries are slow several times in a row; exporters show the same numbers as Prometheus' text, and send them by StatsD and
//! DogStatsD to sockets that the example opens itself. The events are exported to a file.
//!
//! ```text
//! cargo run --example telemetry_handlers
//! ```

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use foundation::telemetry::{EventPattern, Telemetry, TelemetryEvent};
use foundation::{Foundation, NewEvent, ShutdownReport};
use foundation_examples::{BoxError, exit, heading, shut_down};
use foundation_export::{
    DogStatsd, EventFileExporter, ExportSchedule, ExporterSpec, Exports, Json, Statsd, StatsdExporter, StatsdFormat,
    StatsdTarget,
};
use serde_json::json;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// From here on an operation is slow, in milliseconds.
const SLOW: f64 = 25.0;
/// So many slow queries in a row are an alert.
const IN_A_ROW: u32 = 3;
/// What each query takes, in milliseconds.
const QUERIES: [u64; 10] = [2, 3, 40, 2, 30, 35, 45, 3, 2, 2];
const LIMIT: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    exit(run().await)
}

async fn run() -> Result<ShutdownReport, BoxError> {
    let foundation = Foundation::builder().service(Exports::service()).start().await?;
    let outcome = shop(&foundation).await;
    shut_down(&foundation, outcome).await
}

async fn shop(foundation: &Foundation) -> Result<(), BoxError> {
    let telemetry = foundation.telemetry();
    let exports = Exports::of(foundation.production().registry());
    let statsd = Listener::open::<Statsd>(&exports, "statsd").await?;
    let dogstatsd = Listener::open::<DogStatsd>(&exports, "dogstatsd").await?;
    work(foundation).await?;

    heading("The same numbers for Prometheus: what an HTTP server would answer to GET /metrics");
    let text = exports.encode("prometheus")?;
    let text = std::str::from_utf8(text.as_bytes())?;
    let is_of_shop = |line: &&str| line.contains("orders_") || line.starts_with("shop_query_stop_duration_seconds_c");
    text.lines().filter(is_of_shop).for_each(|line| println!("  {line}"));

    heading("By StatsD: labels are parts of the name, counters are sent as growth");
    statsd.show(&exports, "eu1").await?;
    telemetry.counter("orders.placed")?.add(5);
    println!("  … five orders later:");
    statsd.show(&exports, "eu1.production.orders.placed").await?;

    heading("By DogStatsD: labels are tags");
    dogstatsd.show(&exports, "eu1").await?;

    heading("The exporters, and what they have done");
    for stats in exports.list() {
        let target = stats.target.map(|target| target.to_string()).unwrap_or_default();
        println!("  {:<10} to {target}: {} exports, {} bytes", stats.name, stats.successes, stats.bytes);
    }
    let directory = tempfile::tempdir()?;
    export_events(&exports, &directory.path().join("events.jsonl")).await
}

// ---- handlers ----

/// Logs each operation that takes long. A handler runs on the thread that emits, so it does no more than print a line.
fn log_slow_operations(telemetry: &Telemetry) -> Result<(), BoxError> {
    let log = |event: &TelemetryEvent<'_>| {
        if let Some(took) = duration(event).filter(|took| *took >= SLOW) {
            let operation = event.name.trim_end_matches(".stop");
            println!("  log:   {operation} took {took:.0} ms: {}", event.metadata);
        }
    };
    Ok(telemetry.attach("slow operations", [EventPattern::prefix("shop")], log)?)
}

/// Raises an alert at so many slow queries in a row. Whom it wakes is the business of a task: a handler only sends.
fn alert_on_slow_queries(telemetry: &Telemetry) -> Result<mpsc::UnboundedReceiver<String>, BoxError> {
    let (alerts, received) = mpsc::unbounded_channel();
    let slow_ones = AtomicU32::new(0);
    let watch = move |event: &TelemetryEvent<'_>| {
        let Some(took) = duration(event) else { return };
        if took < SLOW {
            slow_ones.store(0, Ordering::Relaxed);
        } else if slow_ones.fetch_add(1, Ordering::Relaxed) + 1 == IN_A_ROW {
            // An error: nothing reads the alerts any more.
            let _ =
                alerts.send(format!("{IN_A_ROW} queries in a row took {SLOW} ms or more, the last one {took:.0} ms"));
        }
    };
    telemetry.attach("slow queries", [EventPattern::exact("shop.query.stop")], watch)?;
    Ok(received)
}

fn duration(event: &TelemetryEvent<'_>) -> Option<f64> {
    let found = event.measurements.iter().find(|(name, _)| *name == "duration_ms");
    found.map(|(_, duration)| *duration)
}

// ---- the work ----

async fn work(foundation: &Foundation) -> Result<(), BoxError> {
    heading("Ten queries, of which some are slow");
    let telemetry = foundation.telemetry();
    log_slow_operations(telemetry)?;
    let mut alerts = alert_on_slow_queries(telemetry)?;
    let pager = tokio::spawn(async move {
        while let Some(alert) = alerts.recv().await {
            println!("  ALERT: {alert}");
        }
    });
    let countries = telemetry.family::<foundation::telemetry::Counter>("orders.shipped", 10)?;
    for (number, millis) in QUERIES.into_iter().enumerate() {
        let span = telemetry.span_with("shop.query", json!({ "table": "orders", "row": number }));
        pause(Duration::from_millis(millis)).await;
        span.stop();
        telemetry.count("orders.placed");
        countries.update([("to", if number % 2 == 0 { "de" } else { "fr" })], |counter| counter.increment());
    }
    telemetry.gauge("orders.margin")?.set(-2.5);
    let order = NewEvent::new("order_placed")?.source("shop").payload(json!({ "orders": QUERIES.len() }))?;
    foundation.events().append(order).await?;
    // Detached, the handler is dropped, and with it the sender: the pager ends after the last alert.
    telemetry.detach("slow queries");
    telemetry.detach("slow operations");
    Ok(pager.await?)
}

#[expect(clippy::disallowed_methods, reason = "a query takes its time")]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

// ---- receivers ----

/// A receiver of StatsD that prints what it gets, and the exporter to it.
struct Listener {
    socket: UdpSocket,
    exporter: &'static str,
}

impl Listener {
    /// Opens a socket and registers an exporter to it.
    async fn open<F: StatsdFormat>(exports: &Exports, exporter: &'static str) -> Result<Self, BoxError> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        exports.register(exporter, to::<F>(socket.local_addr()?)?).await?;
        let listener = Self { socket, exporter };
        // A new exporter sends the growth from its first export on.
        listener.export(exports).await?;
        Ok(listener)
    }

    /// Exports, and prints the lines that begin with this.
    async fn show(&self, exports: &Exports, beginning: &str) -> Result<(), BoxError> {
        for line in self.export(exports).await?.lines().filter(|line| line.starts_with(beginning)) {
            if line.contains("orders") || line.contains("query.stop.duration") {
                println!("  {line}");
            }
        }
        Ok(())
    }

    /// Exports, and reads all that was sent.
    async fn export(&self, exports: &Exports) -> Result<String, BoxError> {
        let mut left = exports.now(self.exporter, LIMIT).await?.bytes;
        let mut text = String::new();
        while left > 0 {
            let mut datagram = [0; 1_432];
            let length = timeout(LIMIT, self.socket.recv(&mut datagram)).await??;
            text.push_str(std::str::from_utf8(&datagram[..length])?);
            text.push('\n');
            left = left.saturating_sub(length);
        }
        Ok(text)
    }
}

fn to<F: StatsdFormat>(address: SocketAddr) -> Result<ExporterSpec, BoxError> {
    let target = StatsdTarget::new(&address.to_string())?.prefix("eu1")?;
    let spec = ExporterSpec::new(move || StatsdExporter::<F>::new(target.clone()));
    Ok(spec.schedule(ExportSchedule::every(Duration::from_secs(60))?))
}

// ---- events ----

async fn export_events(exports: &Exports, path: &Path) -> Result<(), BoxError> {
    heading("The events, as JSON Lines");
    let file = path.to_owned();
    let spec = ExporterSpec::of_events(move || EventFileExporter::<Json>::new(&file));
    exports.register("events", spec).await?;
    exports.unregister("events").await?;
    for line in std::fs::read_to_string(path)?.lines() {
        let event: serde_json::Value = serde_json::from_str(line)?;
        println!("  {:>2}  {:<22} {}", event["id"], event["kind"].as_str().unwrap_or_default(), event["payload"]);
    }
    Ok(())
}
