//! The process that is hit, and the final checks.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fastrand::Rng;
use foundation::config::ConfigSources;
use foundation::events::{EventStorage, Query, Retention, SubscriptionName};
use foundation::supervision::RestartIntensity;
use foundation::{Foundation, ServiceKey};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::clients::{Ledger, ORDERED, Request, Worker, orders, pause};
use super::disruptions::{self, Clock};
use super::subscribers::{Seen, follow};

const WORKERS: [&str; 3] = ["worker_1", "worker_2", "worker_3"];
const SUBSCRIBERS: [&str; 3] = ["billing", "mail", "report"];
const CLIENTS: usize = 6;
/// The time that everything may take to recover when no disruption is left.
const CALM: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) begun: Instant,
    pub(crate) directory: TempDir,
    pub(crate) foundation: Foundation,
    pub(crate) clock: Clock,
    pub(crate) workers: Vec<ServiceKey<Request>>,
    /// The value in the settings' file.
    pub(crate) pace: u32,
    /// The rows that were damaged.
    pub(crate) damaged: BTreeSet<u64>,
}

impl World {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("settings")).unwrap();
        fs::write(directory.path().join("settings/app.toml"), "pace = 1\n").unwrap();
        let (clock, workers) = (Clock::default(), WORKERS.map(ServiceKey::from_static).to_vec());
        let foundation = start(&directory, &clock, &workers).await;
        let (begun, damaged) = (Instant::now(), BTreeSet::new());
        Self { begun, directory, foundation, clock, workers, pace: 1, damaged }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.directory.path().join("events/production.db")
    }

    pub(crate) fn settings(&self) -> PathBuf {
        self.directory.path().join("settings/app.toml")
    }
}

/// The same foundation each time: for the process that is hit, and for the one that is compared with it.
async fn start(directory: &TempDir, clock: &Clock, workers: &[ServiceKey<Request>]) -> Foundation {
    let settings = ConfigSources::new()
        .defaults(serde_json::json!({ "pace": 0, "limit": 0 }))
        .and_then(|sources| sources.updatable("limit"))
        .and_then(|sources| sources.updatable("pace"))
        .unwrap()
        .file(directory.path().join("settings/app.toml"))
        .watch(Duration::from_millis(50));
    let days = Duration::from_secs(2 * 24 * 3600);
    let retention = Retention::new().max_age(days).every(Duration::from_millis(50));
    let clock = clock.clone();
    let mut builder = Foundation::builder()
        .config(settings)
        .events(EventStorage::sqlite(directory.path().join("events")).retention(retention))
        .clock(move || clock.now())
        .intensity(RestartIntensity::new(1_000_000, Duration::from_secs(1)));
    for worker in workers {
        let worker = worker.clone();
        builder = builder.child(move |services| {
            let events = services.events().clone();
            services.child_spec(&worker, move || (Worker(events.clone()), ()))
        });
    }
    builder.start().await.unwrap()
}

pub(crate) fn play(seed: u64, time: Duration) {
    // Children panic on purpose, by the thousand; the test's own failures are reported by the main thread.
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !std::thread::current().name().is_some_and(|name| name.starts_with("tokio-")) {
            tell(panic);
        }
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(seed, time));
    runtime.shutdown_timeout(Duration::from_secs(5));
}

async fn run(seed: u64, time: Duration) {
    let mut random = Rng::with_seed(seed);
    let mut world = World::start().await;
    let (ledger, stop) = (Ledger::default(), CancellationToken::new());
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (services, worker) = (world.foundation.production().clone(), world.workers[client % 3].clone());
        clients.spawn(orders(services, worker, format!("client_{client}"), ledger.clone(), stop.clone()));
    }
    let (seen, mut subscribers): (Vec<Seen>, _) = (SUBSCRIBERS.map(|_| Seen::default()).into(), JoinSet::new());
    for (name, seen) in SUBSCRIBERS.into_iter().zip(&seen) {
        let store = world.foundation.events().clone();
        subscribers.spawn(follow(store, SubscriptionName::from_static(name), seen.clone()));
    }
    let mut limit = 0;
    while world.begun.elapsed() < time {
        disruptions::disrupt(&mut world, &mut random).await;
        limit += 1;
        // Refused while the store is away; an acknowledged change is in force.
        let _ = world.foundation.config().update("limit", limit).await;
    }
    println!("{:>8.3} s  calm", world.begun.elapsed().as_secs_f64());
    stop.cancel();
    if tokio::time::timeout(CALM, clients.join_all()).await.is_err() {
        let health = world.foundation.health().await;
        panic!("clients were not answered within {CALM:?}: {}\n{health:#?}", ledger.last_refusal());
    }
    settle(&world, limit + 1).await;
    check(&world, &ledger, &seen).await;
    end(world, subscribers, limit + 1).await;
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(CALM, future).await.unwrap_or_else(|_| panic!("{what}: not within {CALM:?}"))
}

/// No disruption is left: everything recovers by itself.
async fn settle(world: &World, limit: u32) {
    let foundation = &world.foundation;
    within("an update of the settings", async {
        while foundation.config().update("limit", limit).await.is_err() {
            pause(Duration::from_millis(50)).await;
        }
    })
    .await;
    within("the settings of the file", async {
        while foundation.config().get::<u32>("pace").ok() != Some(world.pace) {
            pause(Duration::from_millis(20)).await;
        }
    })
    .await;
    within("health", async {
        while !foundation.health().await.is_healthy() {
            pause(Duration::from_millis(50)).await;
        }
    })
    .await;
}

async fn check(world: &World, ledger: &Ledger, seen: &[Seen]) {
    let acknowledged = ledger.acknowledged();
    println!("{} orders acknowledged, {} tries refused", acknowledged.len(), ledger.refused());
    assert!(acknowledged.len() > 100, "only {} orders were acknowledged", acknowledged.len());

    let recorded = world.foundation.events().query(Query::new().kind(ORDERED)).await.unwrap();
    let held: std::collections::HashMap<String, u64> =
        recorded.iter().map(|event| (event.payload_as().unwrap(), event.id.get())).collect();
    assert_eq!(held.len(), recorded.len(), "an order is there twice");
    for (order, id) in &acknowledged {
        assert_eq!(held.get(order), Some(&id.get()), "{order} was acknowledged as {id}");
    }

    let position = world.foundation.events().position().unwrap().get();
    for (name, seen) in SUBSCRIBERS.iter().zip(seen) {
        let all: BTreeSet<u64> = (1..=position).filter(|id| !world.damaged.contains(id)).collect();
        within(&format!("all events for {name}"), async {
            while !seen.events().is_superset(&all) {
                pause(Duration::from_millis(20)).await;
            }
        })
        .await;
        assert_eq!(seen.twice(), [0u64; 0], "{name} was shown again what it had acknowledged");
        let unknown: Vec<_> = seen.damaged().difference(&world.damaged).copied().collect();
        assert_eq!(unknown, [0u64; 0], "{name} got reports of damage where there is none");
        println!("{name}: {} events, {} errors", seen.events().len(), seen.errors());
    }
}

/// An orderly end, after which nothing is left, and the next process has the same state.
async fn end(world: World, mut subscribers: JoinSet<()>, limit: u32) {
    let World { foundation, directory, clock, workers, pace, damaged, .. } = world;
    let report = foundation.shutdown().await;
    println!("{report}");
    within("the end of the subscriptions", async { while subscribers.join_next().await.is_some() {} }).await;
    drop(foundation);
    within("the end of every task", async {
        while Handle::current().metrics().num_alive_tasks() > 0 {
            pause(Duration::from_millis(5)).await;
        }
    })
    .await;

    let next = start(&directory, &clock, &workers).await;
    let repaired = next.events().repair().await.unwrap();
    println!("{repaired:?}");
    assert_eq!(next.events().moved_aside(10_000).await.unwrap().len(), damaged.len());
    let verification = next.events().verify(|_| ()).await.unwrap();
    assert!(verification.is_clean(), "{verification}");
    assert_eq!(next.config().get::<u32>("pace").unwrap(), pace);
    assert_eq!(next.config().get::<u32>("limit").unwrap(), limit);
    next.shutdown().await;
}
