//! Outages of leases by seed, in paused time: networks that are down, holders that die, and orderly departures.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use foundation_discovery::health::InstanceStatus;
use foundation_discovery::lease::PreservationRules;
use foundation_discovery::{
    DiscoveryOptions, InstanceLease, InstanceRecord, InstanceWatch, InstanceWatched, Remote, Selector,
};
use foundation_testkit::eventually;
use futures::FutureExt;
use tokio::time::Instant;

use crate::setup::{World, all, name, orders, with_seed, world_with};

const TTL: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_secs(5);
const WINDOW: Duration = Duration::from_secs(30);
const HOLD: Duration = Duration::from_secs(120);
/// The hold, and the windows in which a fifth of the leases expires, with some that are lost meanwhile.
const KEPT_AT_MOST: Duration = Duration::from_secs(30 + 120 + 30 * 12);

/// An instance outside of this process, as the simulation knows it.
struct Known {
    lease: InstanceLease,
    /// Since when it is not renewed.
    silent: Option<Instant>,
    /// Whether its holder will never come back.
    dead: bool,
}

struct Simulation {
    world: World,
    random: fastrand::Rng,
    known: BTreeMap<String, Known>,
    watch: InstanceWatch,
    seen: BTreeMap<String, InstanceRecord>,
    endpoints: Selector<Remote>,
    next: usize,
    outages: usize,
    /// How often an instance was seen whose lease is kept.
    kept: usize,
}

impl Simulation {
    async fn new(seed: u64) -> Self {
        let rules = PreservationRules::new().window(WINDOW).hold(HOLD);
        let world = world_with(DiscoveryOptions::new().preservation(rules)).await;
        let (watch, endpoints) = (world.discovery.watch(all()), world.discovery.endpoints(all()));
        let (random, known, seen) = (fastrand::Rng::with_seed(seed), BTreeMap::new(), BTreeMap::new());
        let mut simulation = Self { world, random, known, watch, seen, endpoints, next: 0, outages: 0, kept: 0 };
        for _ in 0..12 {
            simulation.announce().await;
        }
        simulation
    }

    async fn announce(&mut self) {
        let id = format!("i{:04}", self.next);
        self.next += 1;
        let instance = orders(&id).endpoint("http://10.0.0.7:80").build().unwrap();
        let lease = self.world.discovery.announce(&instance, TTL).await.unwrap();
        self.known.insert(id, Known { lease, silent: None, dead: false });
    }

    fn any(&mut self) -> Option<String> {
        let ids: Vec<_> = self.known.keys().cloned().collect();
        self.random.choice(ids)
    }

    async fn withdraw(&mut self) {
        let Some(id) = self.any().filter(|_| self.known.len() > 6) else { return };
        self.known.remove(&id).unwrap().lease.withdraw().await;
    }

    fn die(&mut self) {
        let Some(id) = self.any() else { return };
        let known = self.known.get_mut(&id).unwrap();
        known.silent.get_or_insert_with(Instant::now);
        known.dead = true;
        self.outages += 1;
    }

    /// A share of the holders does not reach the namespace.
    fn lose_network(&mut self) {
        let percent = self.random.u32(10..=100);
        for known in self.known.values_mut() {
            if self.random.u32(..100) < percent {
                known.silent.get_or_insert_with(Instant::now);
            }
        }
        self.outages += 1;
    }

    /// All that live are reached again. Those that were not kept announce themselves as new ones.
    fn heal(&mut self) {
        self.known.retain(|_, known| {
            known.dead || {
                known.silent = None;
                known.lease.renew().is_ok()
            }
        });
    }

    async fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            tokio::time::advance(STEP).await;
            for (id, known) in &self.known {
                if known.silent.is_none() {
                    known.lease.renew().unwrap_or_else(|error| panic!("{id} is renewed in time: {error}"));
                }
            }
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            self.verify();
        }
    }

    /// Who is renewed is there and is not unhealthy; who is silent for long is gone; each pick is of one that is there.
    fn verify(&mut self) {
        let catalog = self.world.discovery.catalog();
        for (id, known) in &self.known {
            let found = catalog.get(&name(id));
            self.kept += usize::from(found.is_some_and(|it| it.status() == InstanceStatus::Unhealthy));
            let silent = known.silent.map(|since| since.elapsed()).unwrap_or_default();
            assert!(found.is_some() || silent > TTL - STEP, "{id} is gone, silent for {silent:?}");
            assert!(found.is_none() || silent < KEPT_AT_MOST, "{id} is kept, silent for {silent:?}");
            let is_well = found.is_some_and(|record| record.status() <= InstanceStatus::Unknown);
            assert!(known.silent.is_some() || is_well, "{id} is renewed, and {found:?}");
            let is_bad = found.is_none_or(|record| record.status() >= InstanceStatus::Degraded);
            assert!(silent < TTL + STEP || is_bad, "the status of {id} is true: {found:?}");
        }
        self.known.retain(|id, known| !known.dead || catalog.get(&name(id)).is_some());
        if let Ok(picked) = self.endpoints.pick() {
            assert!(catalog.get(picked.record().name()).is_some());
            picked.succeeded();
        }
    }

    async fn step(&mut self) {
        match self.random.u32(..14) {
            0..3 => self.announce().await,
            3..5 => self.withdraw().await,
            5 => {
                for _ in 0..4 {
                    self.withdraw().await;
                }
            }
            6 => self.die(),
            7 | 8 => self.lose_network(),
            9..11 => self.heal(),
            _ => {
                let steps = self.random.u32(1..40);
                self.pass(STEP * steps).await;
            }
        }
    }

    fn read(&mut self) {
        while let Some(item) = self.watch.next().now_or_never() {
            match item.expect("the namespace runs") {
                InstanceWatched::Snapshot(all) | InstanceWatched::Lagged { snapshot: all, .. } => {
                    self.seen = all.into_iter().map(|it| (it.name().id().to_owned(), it)).collect();
                }
                InstanceWatched::Change(change) => {
                    let id = change.name().id().to_owned();
                    match change.instance() {
                        Some(instance) => drop(self.seen.insert(id, instance.clone())),
                        None => drop(self.seen.remove(&id)),
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// A reader of the watch has what the catalog has.
    async fn settle(&mut self) {
        eventually("the same instances everywhere", async || {
            self.read();
            let catalog = self.world.discovery.catalog();
            let found: Vec<_> = catalog.iter().map(|it| (it.name().id().to_owned(), it.status())).collect();
            let seen: Vec<_> = self.seen.iter().map(|(id, it)| (id.clone(), it.status())).collect();
            (found == seen).then_some(())
        })
        .await;
    }

    /// After the outages are over and what was kept has expired, only those that live are there, and a lease that runs out
    /// expires at once: the preservation has ended.
    async fn end(&mut self) {
        self.heal();
        while self.known.len() < 8 {
            self.announce().await;
        }
        self.pass(KEPT_AT_MOST).await;
        self.settle().await;
        let there: BTreeSet<_> = self.known.keys().cloned().collect();
        assert_eq!(self.world.ids().into_iter().collect::<BTreeSet<_>>(), there);
        self.die();
        self.pass(TTL + STEP * 2).await;
        assert_eq!(self.known.len(), there.len() - 1, "it has expired");
    }
}

#[tokio::test(start_paused = true)]
async fn through_outages_of_leases_none_that_is_renewed_expires_and_none_that_is_dead_is_kept_for_ever() {
    for seed in 0..10 {
        with_seed(seed, async {
            let mut simulation = Simulation::new(seed).await;
            while simulation.outages < 50 {
                simulation.step().await;
                simulation.settle().await;
            }
            simulation.end().await;
            assert!(simulation.kept > 0, "no lease was ever kept");
        })
        .await;
    }
}
