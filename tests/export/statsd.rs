//! Exports by StatsD and DogStatsD, to a socket of the test.

use std::net::SocketAddr;

use foundation::telemetry::{Counter, Gauge, Histogram};
use foundation_export::{
    DogStatsd, ExportError, ExportRetry, ExportSchedule, Exported, ExporterSpec, Exports, Statsd, StatsdExporter,
    StatsdFormat, StatsdTarget,
};
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::setup::{LONG, SECOND, start};

const MAX_DATAGRAM: usize = 1_432;

/// A receiver of datagrams.
struct Listener(UdpSocket);

impl Listener {
    async fn new() -> Self {
        Self(UdpSocket::bind("127.0.0.1:0").await.unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    fn spec<F: StatsdFormat>(&self) -> ExporterSpec {
        spec::<F>(self.address())
    }

    /// The datagrams of an export.
    async fn datagrams(&self, exported: &Exported) -> Vec<String> {
        let (mut datagrams, mut left) = (Vec::new(), exported.bytes);
        while left > 0 {
            let mut bytes = [0; 65_536];
            let length = self.0.recv(&mut bytes).await.unwrap();
            left = left.checked_sub(length).expect("no more than was sent");
            datagrams.push(String::from_utf8(bytes[..length].to_vec()).unwrap());
        }
        datagrams
    }

    /// The lines of an export that begin with this.
    async fn lines(&self, exported: &Exported, beginning: &str) -> Vec<String> {
        let datagrams = self.datagrams(exported).await;
        let lines = datagrams.iter().flat_map(|datagram| datagram.split('\n')).map(str::to_owned);
        lines.filter(|line| line.starts_with(beginning)).collect()
    }
}

/// An exporter on demand, with one attempt.
fn spec<F: StatsdFormat>(address: SocketAddr) -> ExporterSpec {
    let target = StatsdTarget::new(&address.to_string()).unwrap().prefix("shop").unwrap();
    let spec = ExporterSpec::new(move || StatsdExporter::<F>::new(target.clone()));
    spec.schedule(ExportSchedule::on_demand()).retry(ExportRetry::attempts(1))
}

/// Exports as soon as the task runs.
async fn export(exports: &Exports) -> Result<Exported, ExportError> {
    loop {
        match exports.now("statsd", LONG).await {
            Err(ExportError::NotRunning { .. }) => tokio::task::yield_now().await,
            outcome => return outcome,
        }
    }
}

#[tokio::test]
async fn a_counter_is_sent_as_its_growth_and_its_total_never() {
    let (foundation, exports) = start().await;
    let (telemetry, listener) = (foundation.telemetry(), Listener::new().await);
    telemetry.counter("orders.old").unwrap().add(1_000);
    exports.register("statsd", listener.spec::<Statsd>()).await.unwrap();
    let exported = export(&exports).await.unwrap();
    assert!(listener.lines(&exported, "shop.production.orders").await.is_empty());

    telemetry.counter("orders.old").unwrap().add(3);
    telemetry.counter("orders.young").unwrap().add(2);
    let exported = export(&exports).await.unwrap();
    let lines = listener.lines(&exported, "shop.production.orders").await;
    assert_eq!(lines, ["shop.production.orders.old:3|c", "shop.production.orders.young:2|c"]);
    let exported = export(&exports).await.unwrap();
    assert!(listener.lines(&exported, "shop.production.orders").await.is_empty(), "nothing has grown");

    exports.unregister("statsd").await.unwrap();
    telemetry.counter("orders.old").unwrap().add(500);
    let listener = Listener::new().await;
    exports.register("statsd", listener.spec::<Statsd>()).await.unwrap();
    let exported = export(&exports).await.unwrap();
    assert!(listener.lines(&exported, "shop.production.orders").await.is_empty(), "it has begun anew");
}

#[tokio::test]
async fn a_closed_port_is_a_failed_attempt_whose_growth_is_sent_when_it_is_open() {
    let (foundation, exports) = start().await;
    let (orders, listener) = (foundation.telemetry().counter("orders").unwrap(), Listener::new().await);
    exports.register("statsd", listener.spec::<Statsd>()).await.unwrap();
    export(&exports).await.unwrap();
    let address = listener.address();
    drop(listener);
    orders.add(3);
    // The report of the closed port may come after the end of the first export.
    let outcomes = [export(&exports).await, export(&exports).await];
    assert!(outcomes.iter().any(Result::is_err), "{outcomes:?}");
    assert!(exports.stats("statsd").unwrap().last_error.unwrap().contains("refused"));
    orders.add(4);

    let listener = Listener(UdpSocket::bind(address).await.unwrap());
    let mut lines = Vec::new();
    // The last error is read by the first of them, at the latest.
    for _ in 0..2 {
        if let Ok(exported) = export(&exports).await {
            lines.extend(listener.lines(&exported, "shop.production.orders").await);
        }
    }
    assert_eq!(lines, ["shop.production.orders:7|c"]);
}

#[tokio::test]
async fn gauges_and_histograms_are_sent_and_what_is_no_finite_number_is_counted() {
    let (foundation, exports) = start().await;
    let (telemetry, listener) = (foundation.telemetry(), Listener::new().await);
    let levels = telemetry.family::<Gauge>("level", 10).unwrap();
    for (room, value) in [("a", -7.5), ("b", 2.0), ("c", f64::NAN), ("d", f64::INFINITY), ("e", f64::NEG_INFINITY)] {
        levels.update([("room", room)], |gauge| gauge.set(value));
    }
    telemetry.histogram("size").unwrap().record(2.0);
    exports.register("statsd", listener.spec::<Statsd>()).await.unwrap();
    let exported = export(&exports).await.unwrap();
    let (left_out, reason) = exported.rejected.clone().unwrap();
    let expected = "values that are no finite numbers: 3; lines of more than 1432 bytes: 0";
    assert_eq!((left_out, &*reason), (3, expected));
    assert_eq!(exports.stats("statsd").unwrap().series_dropped, 3);
    let datagrams = listener.datagrams(&exported).await;
    let together = "shop.production.level.room.a:0|g\nshop.production.level.room.a:-7.5|g";
    assert!(datagrams.iter().any(|datagram| datagram.contains(together)), "{datagrams:?}");
    let lines: Vec<_> = datagrams.iter().flat_map(|it| it.split('\n')).collect();
    let sent = |wanted: &str| lines.iter().filter(|line| line.starts_with(wanted)).count();
    assert_eq!((sent("shop.production.level.room"), sent("shop.production.level.room.b:2|g")), (3, 1));
    for quantile in ["p50", "p99", "max"] {
        assert_eq!(sent(&format!("shop.production.size.{quantile}:2|g")), 1, "{lines:?}");
    }
}

#[tokio::test]
async fn dogstatsd_has_the_namespace_and_the_labels_as_tags() {
    let (foundation, exports) = start().await;
    let (telemetry, listener) = (foundation.telemetry(), Listener::new().await);
    exports.register("statsd", listener.spec::<DogStatsd>()).await.unwrap();
    listener.datagrams(&export(&exports).await.unwrap()).await;
    let users = telemetry.family::<Counter>("users", 10).unwrap();
    users.update([("name", "a|b#c:d@e,f")], Counter::increment);
    users.update([("name", "jürgen")], Counter::increment);
    telemetry.gauge("level").unwrap().set(-7.5);
    let exported = export(&exports).await.unwrap();
    let lines = listener.lines(&exported, "shop.").await;
    for line in [
        "shop.users:1|c|#namespace:production,name:a_b_c_d_e_f",
        "shop.users:1|c|#namespace:production,name:jürgen",
        "shop.level:-7.5|g|#namespace:production",
    ] {
        assert_eq!(lines.iter().filter(|found| *found == line).count(), 1, "{line}: {lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn datagrams_are_short_and_spread_over_half_of_the_time_limit() {
    let (foundation, exports) = start().await;
    let (telemetry, listener) = (foundation.telemetry(), Listener::new().await);
    let sizes = telemetry.family::<Histogram>("size", 500).unwrap();
    (0..300).for_each(|number| sizes.update([("number", number.to_string())], |size| size.record(1.0)));
    exports.register("statsd", listener.spec::<Statsd>().timeout(10 * SECOND)).await.unwrap();
    let begun = Instant::now();
    let exported = export(&exports).await.unwrap();
    let took = begun.elapsed();
    let datagrams = listener.datagrams(&exported).await;
    assert!(datagrams.len() > 20 && datagrams.iter().all(|datagram| datagram.len() <= MAX_DATAGRAM));
    assert!(4 * SECOND < took && took <= 5 * SECOND, "{took:?}");
}
