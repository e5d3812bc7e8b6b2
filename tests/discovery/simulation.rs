//! A thousand outages by seed, in paused time: crashes, children that are restarted, lost zones, checks that fail, flap or time
//! out together, and instances that drain.

use std::collections::BTreeMap;
use std::time::Duration;

use foundation::ractor::{ActorRef, ActorStatus};
use foundation::supervision::{Health, RestartIntensity};
use foundation_discovery::choice::{Choice, Policy};
use foundation_discovery::health::{CheckRules, InstanceStatus};
use foundation_discovery::{Discovery, InstanceChange, InstanceRecord, InstanceWatch, InstanceWatched, Selector};
use foundation_testkit::{Command, Probe, eventually};
use futures::FutureExt;
use tokio::time::Instant;

use crate::setup::{World, all, name, orders, with_seed, world};

const INSTANCES: usize = 12;
/// The id of the instance that has a supervisor.
const CHILD: &str = "child";
const ZONES: [&str; 3] = ["eu/a", "eu/b", "us/a"];
const EXPIRES: Duration = Duration::from_secs(6);

/// An instance as the simulation knows it.
struct Known {
    actor: ActorRef<Command>,
    /// When its last result was recorded, and whether that was a success.
    checked: Option<(Instant, bool)>,
    draining: bool,
}

impl Known {
    /// Whether it must not be picked, unless too few are in rotation.
    fn is_out(&self) -> bool {
        self.draining || self.checked.is_some_and(|(at, success)| !success || at.elapsed() > EXPIRES)
    }
}

struct Simulation {
    world: World,
    random: fastrand::Rng,
    instances: BTreeMap<String, Known>,
    watch: InstanceWatch,
    /// What a reader of the watch has.
    seen: BTreeMap<String, InstanceRecord>,
    selectors: Vec<Selector<Command>>,
    outages: usize,
}

fn zone_of(number: usize) -> &'static str {
    ZONES[number % ZONES.len()]
}

impl Simulation {
    async fn new(seed: u64) -> Self {
        let world = world().await;
        let near = Choice::new().near(ZONES[0].parse().unwrap());
        let policies = [Policy::default(), Policy::RoundRobin, Policy::Rendezvous { bound_percent: Some(125) }];
        let choices = policies.into_iter().map(|policy| Choice::new().policy(policy)).chain([near]);
        let selectors = choices.map(|choice| world.discovery.selector(all()).choice(choice)).collect();
        let mut simulation = Self {
            watch: world.discovery.watch(all()),
            selectors,
            world,
            random: fastrand::Rng::with_seed(seed),
            instances: BTreeMap::new(),
            seen: BTreeMap::new(),
            outages: 0,
        };
        for number in 0..INSTANCES {
            simulation.start(number).await;
        }
        let child = orders(CHILD).zone(ZONES[0]).build().unwrap();
        let spec = simulation.world.discovery.child_spec(&child, || (Probe::default(), ())).unwrap();
        simulation.world.names.supervise(spec.intensity(RestartIntensity::UNLIMITED)).await.unwrap();
        let actor = simulation.world.names.lookup(&Discovery::key::<Command>(&name(CHILD))).unwrap();
        simulation.instances.insert(CHILD.to_owned(), Known { actor, checked: None, draining: false });
        simulation
    }

    async fn start(&mut self, number: usize) {
        let id = format!("i{number:02}");
        if self.instances.contains_key(&id) {
            return;
        }
        let actor = self.world.spawn_as(orders(&id).zone(zone_of(number))).await;
        self.instances.insert(id, Known { actor, checked: None, draining: false });
    }

    async fn crash(&mut self, number: usize) {
        let Some(gone) = self.instances.remove(&format!("i{number:02}")) else { return };
        gone.actor.kill();
        // From then on it takes no message.
        eventually("its end", async || (gone.actor.get_status() >= ActorStatus::Stopping).then_some(())).await;
        self.outages += 1;
    }

    /// An instance of a supervisor crashes, and is there again.
    async fn restart_child(&mut self) {
        let before = self.instances[CHILD].actor.clone();
        before.cast(Command::Panic("it breaks")).unwrap();
        let discovery = &self.world.discovery;
        let next = eventually("the next incarnation", async || {
            discovery.instance(&name(CHILD)).filter(|it| it.actor != before.get_id())
        });
        let actor = next.await.actor;
        let key = Discovery::key::<Command>(&name(CHILD));
        let known = Known { actor: self.world.names.lookup(&key).unwrap(), checked: None, draining: false };
        assert_eq!(known.actor.get_id(), actor);
        self.instances.insert(CHILD.to_owned(), known);
        self.outages += 1;
    }

    fn check(&mut self, number: usize, success: bool) {
        let id = format!("i{number:02}");
        let Some(known) = self.instances.get_mut(&id) else { return };
        let rules = CheckRules::new().rise(1).fall(1).expires_after(EXPIRES);
        let result = if success { Health::Healthy } else { Health::Failed("no".to_owned()) };
        self.world.discovery.record_check(&name(&id), "check", &rules, result).unwrap();
        known.checked = Some((Instant::now(), success));
        self.outages += usize::from(!success);
    }

    fn drain(&mut self, number: usize) {
        let id = format!("i{number:02}");
        let Some(known) = self.instances.get_mut(&id) else { return };
        known.draining = !known.draining;
        let draining = known.draining;
        self.world.discovery.update(&name(&id), &known.actor, |it| it.draining(draining)).unwrap();
    }

    async fn step(&mut self) {
        let number = self.random.usize(..INSTANCES);
        match self.random.u32(..23) {
            0..4 => self.start(number).await,
            4..6 => self.crash(number).await,
            6 => {
                for lost in (0..INSTANCES).filter(|it| zone_of(*it) == zone_of(number)) {
                    self.crash(lost).await;
                }
            }
            7..12 => self.check(number, true),
            12..15 => self.check(number, false),
            15 => (0..8).for_each(|turn| self.check(number, turn % 2 == 0)),
            16 => (0..INSTANCES).for_each(|each| self.check(each, true)),
            17 => self.drain(number),
            18 => {
                (0..INSTANCES).for_each(|each| self.check(each, false));
            }
            19 => self.restart_child().await,
            _ => tokio::time::advance(Duration::from_millis(self.random.u64(1..4_000))).await,
        }
    }

    /// Each live instance is found; each pick is of a live instance, and of one in rotation unless it says otherwise.
    fn verify(&mut self) {
        for (id, known) in &self.instances {
            let found = self.world.discovery.instance(&name(id)).unwrap_or_else(|| panic!("{id} is not found"));
            assert_eq!(found.actor, known.actor.get_id(), "{id}");
            assert_eq!(found.status() == InstanceStatus::Draining, known.draining, "{id}");
            assert!(!known.is_out() || !found.status().is_in_rotation(), "{id} is {}", found.health);
        }
        for selector in &mut self.selectors {
            let Ok(picked) = selector.pick() else { continue };
            let id = picked.record().name().id();
            let known = self.instances.get(id).unwrap_or_else(|| panic!("{id} is picked and is not there"));
            assert_eq!(picked.actor().get_id(), known.actor.get_id());
            assert!(!known.draining && (picked.fail_open() || !known.is_out()), "{id} is picked");
            if self.random.u32(..10) == 0 { picked.failed() } else { picked.succeeded() }
        }
        if self.instances.values().any(|known| !known.draining) {
            assert!(self.selectors.iter_mut().all(|selector| selector.pick().is_ok()), "one could be picked");
        }
    }

    /// Reads the watch, as far as it goes now.
    fn read(&mut self) {
        while let Some(item) = self.watch.next().now_or_never() {
            match item.expect("the namespace runs") {
                InstanceWatched::Snapshot(records) => {
                    self.seen = records.into_iter().map(|it| (it.name().id().to_owned(), it)).collect();
                }
                InstanceWatched::Change(change) => self.see(change),
                other => panic!("{other:?}"),
            }
        }
    }

    fn see(&mut self, change: InstanceChange) {
        let id = change.name().id().to_owned();
        let before = self.seen.get(&id).map(InstanceRecord::status);
        assert_eq!(change.status_before(), before, "{change}");
        match change.instance() {
            Some(instance) => drop(self.seen.insert(id, instance.clone())),
            None => drop(self.seen.remove(&id)),
        }
    }

    /// When all ends have been noted, the catalog and the reader of the watch have what is there, and no more.
    async fn settle(&mut self) {
        eventually("the same instances everywhere", async || {
            self.read();
            let expected: Vec<_> =
                self.instances.iter().map(|(id, known)| (id.clone(), known.actor.get_id())).collect();
            let seen: Vec<_> = self.seen.iter().map(|(id, record)| (id.clone(), record.actor)).collect();
            let catalog = self.world.discovery.catalog();
            let found: Vec<_> = catalog.iter().map(|it| (it.name().id().to_owned(), it.actor)).collect();
            let statuses = catalog.iter().map(InstanceRecord::status);
            let same_statuses = statuses.eq(self.seen.values().map(InstanceRecord::status));
            (found == expected && seen == expected && same_statuses).then_some(())
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn through_a_thousand_outages_each_pick_is_of_an_instance_that_is_there_and_in_rotation() {
    for seed in 0..4 {
        with_seed(seed, async {
            let mut simulation = Simulation::new(seed).await;
            let mut steps = 0;
            while simulation.outages < 250 {
                simulation.step().await;
                simulation.verify();
                steps += 1;
                if steps % 50 == 0 {
                    simulation.settle().await;
                }
            }
            simulation.settle().await;
        })
        .await;
    }
}
