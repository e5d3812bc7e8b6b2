//! Many checks at once: those that hang or block harm no other.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foundation::supervision::Health;
use foundation_discovery::health::{CheckRole, CheckRules, InstanceStatus};
use foundation_discovery::limits::{MAX_CHECK_TEXT, MAX_CHECKS, MAX_RUNNING_CHECKS};
use foundation_discovery::{InstanceChange, InstanceCheck, InstanceRecord, InstanceWatched};
use foundation_testkit::{soon, until};
use futures::FutureExt;
use futures::future::{pending, ready};
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::setup::{all, check, check_each, name, until_status, world};

const SECOND: Duration = Duration::from_secs(1);

/// Counts what runs at the same time.
#[derive(Default)]
struct Counter {
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Counter {
    fn begin(self: &Arc<Self>) -> Running {
        self.most.fetch_max(self.running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Running(Arc::clone(self))
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

struct Running(Arc<Counter>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn of_200_instances_whose_half_hangs_the_other_half_stays_healthy() {
    let world = world().await;
    let ids: Vec<_> = (0..200).map(|id| format!("{}-{id}", if id % 2 == 0 { "good" } else { "hangs" })).collect();
    for id in &ids {
        world.spawn(id).await;
    }
    let counter = Arc::new(Counter::default());
    let counted = Arc::clone(&counter);
    let hangs = InstanceCheck::function("half", move |record: InstanceRecord| {
        let running = counted.begin();
        async move {
            let _running = running;
            if record.name().id().starts_with("hangs") { pending().await } else { Health::Healthy }
        }
    });
    check(&world, hangs.within(SECOND));
    let mut watch = world.discovery.watch(all());
    for id in &ids {
        let good = id.starts_with("good");
        until_status(&world, id, if good { InstanceStatus::Healthy } else { InstanceStatus::Unhealthy }).await;
    }
    let mut turned = HashMap::<_, usize>::new();
    let watching = async {
        while let Some(item) = watch.next().await {
            let InstanceWatched::Change(InstanceChange::StatusChanged { instance, .. }) = item else { continue };
            *turned.entry((instance.name().id().to_owned(), instance.status())).or_default() += 1;
        }
    };
    timeout(SECOND * 120, watching).await.unwrap_err();
    let lost: Vec<_> =
        turned.iter().filter(|((id, status), _)| id.starts_with("good") && *status > InstanceStatus::Unknown).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(counter.most() <= MAX_RUNNING_CHECKS, "{} at a time", counter.most());
}

#[tokio::test(start_paused = true)]
async fn two_definitions_never_check_one_instance_at_a_time() {
    let world = world().await;
    for id in ["a", "b", "c"] {
        world.spawn(id).await;
    }
    let counters: Arc<Mutex<HashMap<String, Arc<Counter>>>> = Arc::default();
    let slow = |name: &str| {
        let counters = Arc::clone(&counters);
        InstanceCheck::function(name, move |record: InstanceRecord| {
            let running = counters.lock().entry(record.name().id().to_owned()).or_default().begin();
            async move {
                let _running = running;
                let _ = timeout(SECOND / 2, pending::<()>()).await;
            }
        })
    };
    check(&world, slow("one"));
    check(&world, slow("two"));
    world.discovery.check(all(), slow("three").every(SECOND)).unwrap();
    let discovery = world.discovery.clone();
    tokio::spawn(async move { discovery.run_declared_checks().await });
    timeout(SECOND * 60, pending::<()>()).await.unwrap_err();
    let most: Vec<_> = counters.lock().values().map(|counter| counter.most()).collect();
    assert_eq!(most, [1, 1, 1]);
    for id in ["a", "b", "c"] {
        assert_eq!(world.discovery.instance(&name(id)).unwrap().status(), InstanceStatus::Healthy);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_several_threads_never_two_checks_of_one_instance_run_at_a_time() {
    let world = world().await;
    for id in 0..30 {
        world.spawn(&format!("i{id}")).await;
    }
    let counters: Arc<Vec<Arc<Counter>>> = Arc::new((0..30).map(|_| Arc::default()).collect());
    let runs = Arc::new(AtomicUsize::new(0));
    let checkers = ["one", "two", "three"].map(|name| {
        let (counters, runs) = (Arc::clone(&counters), Arc::clone(&runs));
        let check = InstanceCheck::function(name, move |record: InstanceRecord| {
            let number: usize = record.name().id()[1..].parse().unwrap();
            let running = counters[number].begin();
            runs.fetch_add(1, Ordering::SeqCst);
            async move {
                let _running = running;
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                !number.is_multiple_of(3)
            }
        });
        check_each(&world, check.every(SECOND / 10).jitter(0.5))
    });
    until("many runs", async || runs.load(Ordering::SeqCst) >= 1_000).await;
    checkers.iter().for_each(tokio::task::JoinHandle::abort);
    let most: Vec<_> = counters.iter().map(|counter| counter.most()).collect();
    assert_eq!(most, [1; 30]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_check_that_blocks_its_thread_is_a_failure_and_no_other_joins_it() {
    let world = world().await;
    world.spawn("a").await;
    // A thread that blocks may be the one that waits for the timers of a runtime, until another one has work.
    let busy = tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = Arc::new(Mutex::new(Some(blocked)));
    let counter = Arc::new(Counter::default());
    let counted = Arc::clone(&counter);
    let blocks = InstanceCheck::function("blocks", move |_| {
        let _running = counted.begin();
        if let Some(blocked) = blocked.lock().take() {
            let _ = blocked.recv();
        }
        ready(())
    });
    let blocks = blocks.within(SECOND / 20).rules(CheckRules::new().fall(3)).role(CheckRole::Advisory);
    world.discovery.check(all(), blocks.every(SECOND / 10)).unwrap();
    let discovery = world.discovery.clone();
    tokio::spawn(async move { discovery.run_declared_checks().await });
    let health = until_status(&world, "a", InstanceStatus::Degraded).await;
    assert!(health.starts_with("degraded: timed out after 50ms"), "{health}");
    assert_eq!(counter.running.load(Ordering::SeqCst), 1);
    release.send(()).unwrap();
    until_status(&world, "a", InstanceStatus::Healthy).await;
    assert_eq!(counter.most(), 1);
    busy.abort();
}

#[tokio::test(start_paused = true)]
async fn a_check_that_is_one_too_many_is_said_and_runs_as_soon_as_another_one_has_ended() {
    let world = world().await;
    world.spawn("a").await;
    let rules = CheckRules::new().expires_after(SECOND * 10_000);
    for number in 0..MAX_CHECKS {
        world.discovery.record_check(&name("a"), &number.to_string(), &rules, Health::Healthy).unwrap();
    }
    check(&world, InstanceCheck::function("more", |_| ready(false)));
    let refused = r#"healthy: its check "more" is not run: it has 16 checks, as many as it may have"#;
    let health = || world.discovery.instance(&name("a")).unwrap().health.to_string();
    until("its health says so", async || {
        tokio::time::advance(SECOND / 10).await;
        health() == refused
    })
    .await;
    assert!(world.discovery.end_check(&name("a"), "0"));
    until_status(&world, "a", InstanceStatus::Unhealthy).await;
}

#[tokio::test(start_paused = true)]
async fn a_text_that_changes_wakes_no_watcher_and_a_long_one_is_cut_off() {
    let world = world().await;
    world.spawn("a").await;
    let runs = AtomicUsize::new(0);
    let garbage = InstanceCheck::function("garbage", move |_| {
        let run = runs.fetch_add(1, Ordering::SeqCst);
        ready(Health::Failed(format!("{run} {}", "garbage ".repeat(1 << 17))))
    });
    check(&world, garbage);
    let first = until_status(&world, "a", InstanceStatus::Unhealthy).await;
    assert!(first.len() < MAX_CHECK_TEXT + 100, "{} bytes", first.len());
    let mut watch = world.discovery.watch(all());
    soon("the snapshot", watch.next()).await;
    timeout(SECOND * 60, watch.next()).await.unwrap_err();
    assert_ne!(world.discovery.instance(&name("a")).unwrap().health.to_string(), first);
    assert!(watch.next().now_or_never().is_none());
}
