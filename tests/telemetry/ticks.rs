//! The actor's work at each tick: rates, exports, retirement.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use foundation::telemetry::{Counter, Exporter, Gauge, Histogram, Scrape, TelemetryLimits, TelemetryOptions};
use foundation::{Foundation, FoundationBuilder, Limits, Telemetry, TestNamespace};

use foundation_testkit::{TraceLog, crash};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

/// Ticks only on request.
fn by_hand() -> TelemetryOptions {
    TelemetryOptions::new().tick_every(Duration::from_secs(1_000_000)).idle_after(MINUTE)
}

fn ticking_by_hand() -> FoundationBuilder {
    Foundation::builder().telemetry(by_hand())
}

/// An exporter that forwards its scrapes.
fn archive() -> (impl Exporter, UnboundedReceiver<Arc<Scrape>>) {
    let (to, from) = mpsc::unbounded_channel();
    let exporter = move |scrape: Arc<Scrape>| {
        let sent = to.send(scrape);
        async { Ok(sent?) }
    };
    (exporter, from)
}

fn rate(telemetry: &Telemetry, name: &str) -> Option<f64> {
    telemetry.scrape().series(name, &[]).unwrap().rate
}

async fn after(telemetry: &Telemetry, time: Duration) {
    tokio::time::advance(time).await;
    telemetry.tick().await.unwrap();
}

#[foundation::test(start_paused = true, builder = ticking_by_hand())]
async fn a_rate_is_the_increase_per_second_between_two_ticks(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    telemetry.tick().await.unwrap();
    telemetry.counter("orders").unwrap().add(30);
    telemetry.histogram("took").unwrap().record(5.0);
    assert_eq!(rate(telemetry, "orders"), None);
    after(telemetry, Duration::from_secs(10)).await;
    assert_eq!((rate(telemetry, "orders"), rate(telemetry, "took")), (Some(3.0), Some(0.1)));
    after(telemetry, Duration::from_secs(5)).await;
    assert_eq!(rate(telemetry, "orders"), Some(0.0));
}

#[foundation::test(start_paused = true, builder = ticking_by_hand().service_backoff(foundation::supervision::Backoff::None))]
async fn a_restart_makes_no_jump_in_a_rate(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    telemetry.counter("orders").unwrap().add(1_000);
    after(telemetry, Duration::from_secs(10)).await;
    telemetry.counter("orders").unwrap().add(20);
    crash(&namespace, &Telemetry::NAME).await;
    after(telemetry, Duration::from_secs(10)).await;
    assert_eq!(rate(telemetry, "orders"), Some(2.0));
}

#[tokio::test(start_paused = true)]
async fn the_clock_ticks_and_the_last_tick_is_when_the_service_stops() {
    let (exporter, mut exported) = archive();
    let period = Duration::from_secs(5);
    let options = TelemetryOptions::new().tick_every(period).exporter(exporter);
    let foundation = Foundation::builder().telemetry(options).start().await.unwrap();
    let begun = Instant::now();
    foundation.telemetry().count("orders");
    for tick in 1..=3 {
        let scrape = exported.recv().await.unwrap();
        assert_eq!(scrape.to_snapshot().counter("orders"), Some(1));
        assert_eq!(begun.elapsed().as_secs(), tick * period.as_secs());
    }
    foundation.telemetry().count("orders");
    foundation.shutdown().await;
    assert_eq!(begun.elapsed().as_secs(), 15);
    assert_eq!(exported.try_recv().unwrap().to_snapshot().counter("orders"), Some(2));
}

#[foundation::test(start_paused = true, builder = ticking_by_hand())]
async fn series_that_are_idle_are_retired_and_all_others_stay(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let users = telemetry.family::<Counter>("users", 10).unwrap();
    users.update([("user", "idle")], Counter::increment);
    users.update([("user", "busy")], Counter::increment);
    let held = users.with([("user", "held")]).unwrap();
    telemetry.family::<Histogram>("took", 10).unwrap().update([("user", "idle")], |it| it.record(1.0));
    telemetry.family::<Gauge>("level", 10).unwrap().update([("user", "idle")], |it| it.set(1.0));
    telemetry.count("plain");
    after(telemetry, Duration::from_secs(1)).await;
    users.update([("user", "busy")], Counter::increment);
    after(telemetry, MINUTE / 2).await;
    after(telemetry, MINUTE / 2).await;

    let snapshot = telemetry.snapshot();
    assert_eq!(snapshot.counter(r#"users{user="idle"}"#), None);
    assert_eq!(snapshot.histogram(r#"took{user="idle"}"#), None);
    assert_eq!(snapshot.counter(r#"users{user="busy"}"#), Some(2));
    assert_eq!(snapshot.counter(r#"users{user="held"}"#), Some(0));
    assert_eq!(snapshot.gauge(r#"level{user="idle"}"#), Some(1.0));
    assert_eq!((snapshot.counter("plain"), snapshot.counter("telemetry.series_retired")), (Some(1), Some(2)));

    // A holder of a series continues to count on it; a caller that requests it after a tick begins anew.
    held.increment();
    telemetry.tick().await.unwrap();
    users.update([("user", "idle")], Counter::increment);
    let snapshot = telemetry.snapshot();
    assert_eq!(snapshot.counter(r#"users{user="held"}"#), Some(1));
    assert_eq!(snapshot.counter(r#"users{user="idle"}"#), Some(1));
}

#[foundation::test(start_paused = true, builder = ticking_by_hand())]
async fn retired_series_make_room_for_others(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let users = telemetry.family::<Counter>("users", 1).unwrap();
    users.update([("user", "first")], Counter::increment);
    after(telemetry, Duration::from_secs(1)).await;
    after(telemetry, MINUTE).await;
    users.update([("user", "second")], Counter::increment);
    assert_eq!(telemetry.snapshot().counter(r#"users{user="second"}"#), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_failing_exporter_is_counted_and_does_not_affect_the_others() {
    let (exporter, mut exported) = archive();
    let options = by_hand()
        .exporter(|_: Arc<Scrape>| async { panic!("the exporter panics") })
        .exporter(|_: Arc<Scrape>| async { Err("the disk is full".into()) })
        .exporter(exporter);
    let foundation = Foundation::builder().telemetry(options).start().await.unwrap();
    foundation.telemetry().tick().await.unwrap();
    foundation.telemetry().tick().await.unwrap();
    let snapshot = foundation.telemetry().snapshot();
    assert!(exported.try_recv().is_ok() && exported.try_recv().is_ok());
    assert_eq!(snapshot.counter("telemetry.failed_exports"), Some(4));
    assert!(foundation.health().await.is_healthy());
    foundation.shutdown().await;
}

/// An exporter that is busy until the gate is closed, and its scrapes.
fn busy() -> (impl Exporter, Arc<Semaphore>, UnboundedReceiver<Arc<Scrape>>) {
    let gate = Arc::new(Semaphore::new(0));
    let (waiting, (to, from)) = (Arc::clone(&gate), mpsc::unbounded_channel());
    let exporter = move |scrape: Arc<Scrape>| {
        let (sent, waiting) = (to.send(scrape), Arc::clone(&waiting));
        async move {
            drop(waiting.acquire().await);
            Ok(sent?)
        }
    };
    (exporter, gate, from)
}

/// Whether it is open, and the signal that it has been opened.
type Gate = (Mutex<bool>, Condvar);

/// An exporter that blocks its thread until it is released, and its scrapes.
fn blocked() -> (impl Exporter, Arc<Gate>, UnboundedReceiver<Arc<Scrape>>) {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let (waiting, (to, from)) = (Arc::clone(&gate), mpsc::unbounded_channel());
    let exporter = move |scrape: Arc<Scrape>| {
        let sent = to.send(scrape);
        let (open, opened) = &*waiting;
        drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
        async { Ok(sent?) }
    };
    (exporter, gate, from)
}

fn open(gate: &Gate) {
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
}

/// Asks for a tick, and does not wait for its exports.
fn begin_tick(telemetry: &Telemetry) -> tokio::task::JoinHandle<Result<(), foundation::telemetry::TelemetryError>> {
    let telemetry = telemetry.clone();
    tokio::spawn(async move { telemetry.tick().await })
}

fn orders(scrape: &Scrape) -> Option<u64> {
    scrape.to_snapshot().counter("orders")
}

fn exports_within(limit: Duration) -> Limits {
    Limits::new().telemetry(TelemetryLimits::new().export(limit))
}

const SHORT: Duration = Duration::from_millis(50);

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_busy_exporter_stops_neither_the_service_nor_other_exporters() {
    let (busy, gate, mut given) = busy();
    let (exporter, mut exported) = archive();
    let options = by_hand().exporter(busy).exporter(exporter);
    let foundation = Foundation::builder().telemetry(options).limits(exports_within(LONG)).start().await.unwrap();
    let telemetry = foundation.telemetry();
    for tick in 1..=4 {
        telemetry.count("orders");
        drop(begin_tick(telemetry));
        assert_eq!(exported.recv().await.as_deref().map(orders), Some(Some(tick)));
    }
    assert!(foundation.health().await.is_healthy());
    // It has the first, the second was superseded by the third, and that by the fourth.
    assert_eq!(telemetry.snapshot().counter("telemetry.skipped_exports"), Some(2));
    gate.close();
    assert_eq!(given.recv().await.as_deref().map(orders), Some(Some(1)));
    assert_eq!(given.recv().await.as_deref().map(orders), Some(Some(4)));
    telemetry.tick().await.unwrap();
    assert_eq!(given.recv().await.as_deref().map(orders), Some(Some(4)));
    foundation.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_export_that_takes_too_long_is_cancelled_and_counted_and_the_next_one_is_made() {
    let (busy, gate, mut given) = busy();
    let (exporter, mut exported) = archive();
    let options = by_hand().exporter(busy).exporter(exporter);
    let foundation = Foundation::builder().telemetry(options).limits(exports_within(SHORT)).start().await.unwrap();
    let telemetry = foundation.telemetry();
    for tick in 1..=3 {
        let begun = Instant::now();
        telemetry.tick().await.unwrap();
        assert!(begun.elapsed() < 2 * SHORT);
        // The limit of the export passes at the time of that of the tick.
        tokio::task::yield_now().await;
        assert!(given.try_recv().is_ok() && exported.try_recv().is_ok());
        assert_eq!(telemetry.snapshot().counter("telemetry.failed_exports"), Some(tick));
    }
    assert_eq!(telemetry.snapshot().counter("telemetry.skipped_exports"), Some(0));
    // The last export at the end of the service is cancelled, too.
    let begun = Instant::now();
    let report = foundation.shutdown().await;
    assert!(begun.elapsed() < 2 * SHORT);
    assert!(report.namespaces.iter().all(|namespace| namespace.killed().next().is_none()), "{report:?}");
    assert!(given.try_recv().is_ok());
    drop(gate);
}

#[tokio::test(start_paused = true)]
async fn an_exporter_that_hangs_delays_no_tick_of_the_clock() {
    let (busy, gate, _given) = busy();
    let (exporter, mut exported) = archive();
    let options = TelemetryOptions::new().tick_every(SHORT).exporter(busy).exporter(exporter);
    let foundation = Foundation::builder().telemetry(options).limits(exports_within(LONG)).start().await.unwrap();
    let begun = Instant::now();
    for tick in 1..=5 {
        exported.recv().await.unwrap();
        assert!(begun.elapsed() < (tick + 1) * SHORT, "tick {tick} after {:?}", begun.elapsed());
    }
    gate.close();
    foundation.shutdown().await;
}

/// It should not, but it may: the other worker goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_exporter_that_blocks_its_thread_stops_neither_the_service_nor_other_exporters_nor_the_end() {
    let (blocking, gate, mut given) = blocked();
    let (exporter, mut exported) = archive();
    let options = by_hand().exporter(blocking).exporter(exporter);
    let foundation = Foundation::builder().telemetry(options).limits(exports_within(SHORT)).start().await.unwrap();
    let telemetry = foundation.telemetry();
    for tick in 1..=4 {
        telemetry.count("orders");
        telemetry.tick().await.unwrap();
        assert_eq!(exported.recv().await.as_deref().map(orders), Some(Some(tick)));
    }
    assert!(foundation.health().await.is_healthy());
    assert_eq!(telemetry.snapshot().counter("telemetry.skipped_exports"), Some(2));
    let report = foundation.shutdown().await;
    // No actor had to be killed for it.
    assert!(report.namespaces.iter().all(|namespace| namespace.killed().next().is_none()), "{report:?}");
    assert_eq!(given.try_recv().as_deref().map(orders), Ok(Some(1)));
    open(&gate);
    assert_eq!(given.recv().await.as_deref().map(orders), Some(Some(4)));
}

#[test]
fn neither_the_end_of_the_service_nor_the_end_of_the_runtime_waits_for_a_busy_exporter_without_limit() {
    let (busy, _gate, _given) = busy();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let report = runtime.block_on(async {
        let options = by_hand().exporter(busy);
        let foundation = Foundation::builder().telemetry(options).limits(exports_within(SHORT)).start().await.unwrap();
        foundation.telemetry().tick().await.unwrap();
        foundation.shutdown().await
    });
    // No actor had to be killed for it.
    assert!(report.namespaces.iter().all(|namespace| namespace.killed().next().is_none()), "{report:?}");
    drop(runtime);
}

#[tokio::test]
async fn an_exporter_that_is_at_work_at_the_end_still_gets_the_last_numbers() {
    let (busy, gate, mut given) = busy();
    let options = by_hand().exporter(busy);
    let foundation = Foundation::builder().telemetry(options).limits(exports_within(LONG)).start().await.unwrap();
    let tick = begin_tick(foundation.telemetry());
    assert_eq!(given.recv().await.as_deref().map(orders), Some(None));
    foundation.telemetry().count("orders");
    let (report, ()) = tokio::join!(foundation.shutdown(), async {
        // As soon as the last tick waits for it.
        tokio::task::yield_now().await;
        gate.close();
    });
    assert_eq!(given.recv().await.as_deref().map(orders), Some(Some(1)));
    drop((report, tick.await.unwrap()));
}

#[tokio::test]
async fn a_restart_of_the_service_begins_no_second_export_on_an_exporter_that_is_at_work() {
    let (busy, gate, mut given) = busy();
    let (exporter, mut exported) = archive();
    let options = by_hand().exporter(busy).exporter(exporter);
    let foundation = Foundation::builder().telemetry(options).limits(exports_within(LONG)).start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    drop(begin_tick(namespace.telemetry()));
    given.recv().await.unwrap();
    exported.recv().await.unwrap();
    crash(&namespace, &Telemetry::NAME).await;
    drop(begin_tick(namespace.telemetry()));
    exported.recv().await.unwrap();
    assert!(given.is_empty(), "it is at work");
    gate.close();
    assert!(given.recv().await.is_some());
    foundation.shutdown().await;
}

#[tokio::test]
async fn an_exporter_may_spawn_tasks_and_its_failures_reach_the_subscriber_of_its_service() {
    let (done, mut all_done) = mpsc::unbounded_channel();
    let options = by_hand().exporter(move |_: Arc<Scrape>| {
        let done = done.clone();
        drop(tokio::spawn(async move { done.send(()) }));
        async { Err("the disk is full".into()) }
    });
    let (warnings, _guard) = TraceLog::of_thread(tracing::Level::WARN);
    let foundation = Foundation::builder().telemetry(options).start().await.unwrap();
    foundation.telemetry().tick().await.unwrap();
    all_done.recv().await.unwrap();
    let warnings = warnings.all();
    assert!(warnings.iter().any(|it| it.contains("the disk is full")), "{warnings:?}");
    foundation.shutdown().await;
}

#[foundation::test(flavor = "multi_thread", worker_threads = 2, builder = ticking_by_hand())]
async fn the_runtime_is_sampled_at_the_start_and_at_each_tick(namespace: TestNamespace) {
    let telemetry = namespace.telemetry();
    let snapshot = telemetry.snapshot();
    assert_eq!(snapshot.gauge("tokio.workers"), Some(2.0));
    assert!(snapshot.gauge("tokio.global_queue_depth").is_some());

    let crowd: Vec<_> = (0..100).map(|_| tokio::spawn(std::future::pending::<()>())).collect();
    telemetry.tick().await.unwrap();
    let snapshot = telemetry.snapshot();
    assert!(snapshot.gauge("tokio.alive_tasks").is_some_and(|tasks| tasks >= 100.0));
    crowd.iter().for_each(|task| task.abort());
}

#[foundation::test(start_paused = true, builder = Foundation::builder().telemetry(by_hand().runtime_metrics(false)))]
async fn the_runtime_is_not_shown_when_it_is_switched_off(namespace: TestNamespace) {
    namespace.telemetry().tick().await.unwrap();
    assert_eq!(namespace.telemetry().snapshot().gauge("tokio.workers"), None);
}
