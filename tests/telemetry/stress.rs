//! Many threads count while the actor reads, exports, retires and is killed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use foundation::telemetry::{Counter, Labels, Reading, Scrape, TelemetryOptions};
use foundation::{Foundation, Telemetry};

const THREADS: u64 = 4;
const COUNTS: u64 = 20_000;

/// Adds up the growth of each series between two exports, as a monitoring system does.
#[derive(Default)]
struct Sums {
    before: HashMap<Labels, (SystemTime, u64)>,
    total: u64,
}

impl Sums {
    fn add(&mut self, scrape: &Scrape) {
        let series = scrape.family("users").map(|family| &*family.series).unwrap_or_default();
        let now = series.iter().map(|series| match series.reading {
            Reading::Counter(value) => (series.labels.clone(), (series.since, value)),
            _ => panic!("a counter"),
        });
        let now: HashMap<_, _> = now.collect();
        for (labels, (since, value)) in &now {
            // One that was retired and came back counts from zero.
            let before = self.before.get(labels).filter(|(begun, _)| begun == since).map_or(0, |(_, value)| *value);
            self.total += value - before;
        }
        self.before = now;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_threads_count_and_series_are_retired() {
    let (counted, total) = sum_of_exports().await;
    assert_eq!(total, counted);
}

/// How much was counted, and what the exports add up to, some of which a busy machine skips.
async fn sum_of_exports() -> (u64, u64) {
    let sums = Arc::new(Mutex::new(Sums::default()));
    let adding = Arc::clone(&sums);
    let options = TelemetryOptions::new().tick_every(Duration::from_millis(1)).idle_after(Duration::ZERO);
    let options = options.exporter(move |scrape: Arc<Scrape>| {
        let added = adding.lock().map(|mut sums| sums.add(&scrape)).map_err(|_| "poisoned".into());
        async { added }
    });
    let foundation = Foundation::builder().telemetry(options).start().await.unwrap();
    let telemetry = foundation.telemetry().clone();
    let counting = (0..THREADS).map(|thread| {
        let telemetry = telemetry.clone();
        tokio::task::spawn_blocking(move || count(&telemetry, thread))
    });
    let counted = futures::future::join_all(counting).await.into_iter().map(Result::unwrap).sum();

    // The last tick is that of the end.
    foundation.shutdown().await;
    let total = sums.lock().unwrap().total;
    (counted, total)
}

/// Each user counts now and then, for a while, and some of them are beyond the limit. Returns how often they did, at least
/// until a series was retired.
fn count(telemetry: &Telemetry, thread: u64) -> u64 {
    let users = telemetry.family::<Counter>("users", 6).unwrap();
    let is_retired = || telemetry.snapshot().counter("telemetry.series_retired") > Some(0);
    let mut counted = 0;
    while counted < COUNTS || !is_retired() {
        for _ in 0..100 {
            let user = (counted / 100 + thread) % 8;
            users.update([("user", user.to_string())], Counter::increment);
            counted += 1;
        }
    }
    counted
}

/// The second thread finds the name taken, by the same kind of instrument.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_that_use_a_new_name_at_the_same_time_share_its_instrument() {
    const NAMES: usize = 5_000;
    let foundation = Foundation::builder().start().await.unwrap();
    let telemetry = foundation.telemetry().clone();
    let barrier = Arc::new(std::sync::Barrier::new(2));
    let naming = [(); 2].map(|()| {
        let (telemetry, barrier) = (telemetry.clone(), Arc::clone(&barrier));
        tokio::task::spawn_blocking(move || {
            for number in 0..NAMES {
                barrier.wait();
                // No panic here: the other would wait for this one.
                telemetry.count(&format!("name.{number}"));
            }
        })
    });
    futures::future::join_all(naming).await.into_iter().for_each(Result::unwrap);
    let snapshot = telemetry.snapshot();
    assert!((0..NAMES).all(|number| snapshot.counter(&format!("name.{number}")) == Some(2)));
    foundation.shutdown().await;
}
