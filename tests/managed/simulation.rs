//! Random histories by seed, in paused time: whatever is requested and whatever fails, also the manager, afterwards what
//! is wanted runs. A failure prints its seed, which is not always enough for a race.
//!
//! # Invariants
//!
//! 1. Every request is answered.
//! 2. What the manager shows is what is recorded: each batch counts as a whole, or not at all.
//! 3. A service that is wanted, is not broken and has its needs met runs as configured, in rotation.
//! 4. Nothing runs that is not wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use std::{env, thread};

use foundation::events::Query;
use foundation::names::{ServiceKey, ServiceName};
use foundation_discovery::{Criteria, Discovery};
use foundation_managed::{
    Batch, DesiredState, Managed, Roster, RosterFact, ServiceConfig, ServiceRecord, ServiceStatus,
};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::setup::{ClerkMsg, Clerks, Desk, World, passes, world};

/// How many histories there are.
const HISTORIES: u64 = 1_000;
const NAMES: [&str; 5] = ["ant", "bee", "cat", "dog", "eel"];

/// Numbers that follow from a seed (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn at(&mut self) -> usize {
        usize::try_from(self.below(NAMES.len() as u64)).unwrap()
    }

    /// A configuration. It needs services that come before it, and seldom one that does not.
    fn desk(&mut self, at: usize) -> Desk {
        let broken = ["start", "pen", ""][usize::try_from(self.below(12).min(2)).unwrap()].to_owned();
        let strategy = if broken.is_empty() { self.below(3) } else { self.below(2) };
        let needs = NAMES.iter().enumerate().filter(|(other, _)| match other < &at {
            true => self.below(4) == 0,
            false => self.below(80) == 0,
        });
        let needs = needs.map(|(_, name)| (*name).to_owned()).collect();
        let replaced_by = ["drain", "blue_green", "reload"][usize::try_from(strategy).unwrap()].to_owned();
        // A reload takes no check away from a running service.
        let checked = broken == "pen" || replaced_by == "reload" || self.below(2) == 0;
        Desk { answer: 1 + self.below(1_000), replaced_by, broken, needs, checked, ..Desk::default() }
    }

    /// Operations on different services, of which most are declared.
    fn batch(&mut self, world: &World) -> Batch {
        let first = self.at();
        (first..=first + self.at()).fold(Batch::new(), |batch, at| {
            let (at, name) = (at % NAMES.len(), name(at % NAMES.len()));
            let config = serde_json::to_value(self.desk(at)).unwrap();
            let is_declared = world.managed.status(&name).is_ok();
            match self.below(16) {
                0..=13 if !is_declared => batch.declare(&name, "clerks", config).start(&name),
                0..=6 => batch.configure(&name, config),
                7..=10 => batch.start(&name),
                11 | 12 => batch.restart(&name),
                13 | 14 => batch.stop(&name),
                _ => batch.remove(&name),
            }
        })
    }
}

fn name(at: usize) -> ServiceName {
    ServiceName::new(NAMES[at]).unwrap()
}

/// Begins a request, which is answered at some time.
fn begin(world: &World, random: &mut Random, requests: &mut JoinSet<()>) {
    let at = random.at();
    let (managed, name, desk) = (world.managed.clone(), name(at), random.desk(at));
    match random.below(20) {
        0..=2 => drop(requests.spawn(async move { drop(managed.declare::<Clerks>(&name, &desk).await) })),
        3..=6 => drop(requests.spawn(async move { drop(managed.configure::<Clerks>(&name, &desk).await) })),
        7..=9 => drop(requests.spawn(async move { drop(managed.start(&name).await) })),
        10 => {
            let within = (random.below(2) == 0).then(|| Duration::from_secs(random.below(20)));
            requests.spawn(async move { drop(managed.stop(&name, within).await) });
        }
        11 => drop(requests.spawn(async move { drop(managed.restart(&name).await) })),
        12 => drop(requests.spawn(async move { drop(managed.remove(&name).await) })),
        13 => fail(world, &name),
        _ => {
            let (batch, within) = (random.batch(world), Duration::from_secs(1 + random.below(60)));
            requests.spawn(async move { drop(managed.apply_within(batch, within).await) });
        }
    }
}

/// Lets the actor of a service fail, if there is one.
fn fail(world: &World, name: &ServiceName) {
    let key = Managed::key::<ClerkMsg>(name).unwrap();
    world.names.lookup(&key).into_iter().for_each(|clerk| drop(clerk.cast(ClerkMsg::Fail)));
}

/// Kills the manager. Its supervisor starts three of them within five seconds.
async fn crash(world: &World) {
    let manager = ServiceKey::<()>::new("managed.manager").unwrap();
    world.names.lookup_any(manager.name()).into_iter().for_each(|it| it.cell().kill());
    passes(Duration::from_secs(6)).await;
}

async fn history(seed: u64) {
    let (world, mut random, mut requests) = (world().await, Random(seed), JoinSet::new());
    for at in 0..NAMES.len() {
        let desk = Desk { broken: String::new(), ..random.desk(at) };
        let _ = world.managed.declare::<Clerks>(&name(at), &desk).await;
        let managed = world.managed.clone();
        requests.spawn(async move { drop(managed.start(&name(at)).await) });
    }
    for _ in 0..random.below(20) {
        begin(&world, &mut random, &mut requests);
        if random.below(12) == 0 {
            crash(&world).await;
        }
        match random.below(4) {
            0 => {}
            1 => drop(timeout(Duration::from_secs(30), requests.join_next()).await),
            _ => passes(Duration::from_millis(random.below(3_000))).await,
        }
    }
    let answered = timeout(Duration::from_secs(3_600), async { while requests.join_next().await.is_some() {} });
    assert!(answered.await.is_ok(), "invariant 1: {} requests are not answered", requests.len());
    // The longest delay of a restart.
    passes(Duration::from_secs(120)).await;
    check(&world).await;
    timeout(Duration::from_secs(600), world.registry.shutdown()).await.expect("a shutdown ends");
}

async fn check(world: &World) {
    let records: BTreeMap<_, _> = world.managed.all().into_iter().map(|it| (it.name.clone(), it)).collect();
    let roster = recorded(world).await;
    assert!(roster.open_batch().is_none(), "invariant 2");
    let shown = records.iter().map(|(name, it)| (name, &it.config, it.wanted, it.generation));
    let folded = roster.iter().map(|(name, it)| (name, &it.config, it.state, it.generation));
    assert!(shown.eq(folded), "invariant 2: {records:?} of {roster:?}");

    let mut able = BTreeSet::new();
    for _ in NAMES {
        let new = records.values().filter(|it| is_able(it, &able)).map(|it| it.name.to_string()).collect();
        able = new;
    }
    for (at, text) in NAMES.iter().enumerate() {
        let (name, record) = (name(at), records.get(&name(at)));
        let found = Discovery::of(&world.names).instances(&Criteria::service(&name)).unwrap_or_default();
        match record.filter(|it| it.wanted == DesiredState::Running) {
            None => assert!(found.is_empty(), "invariant 4: {record:?}"),
            Some(record) if able.contains(*text) => {
                assert_eq!(record.status(), ServiceStatus::Healthy, "invariant 3: {record:?}");
                assert_eq!(record.running, Some(record.generation), "invariant 3: {record:?}");
                assert_eq!(world.answer(&name).await, Ok(desk_of(record).answer), "invariant 3: {record:?}");
                let in_rotation = found.iter().filter(|it| it.status().is_in_rotation()).count();
                assert_eq!((found.len(), in_rotation), (1, 1), "invariant 3: {found:?}");
            }
            // A generation that is broken has not replaced the one before, which goes on.
            Some(record) if record.running.is_some_and(|running| running != record.generation) => {}
            Some(record) => assert_eq!(record.status(), ServiceStatus::Unhealthy, "{record:?}"),
        }
    }
}

fn desk_of(record: &ServiceRecord) -> Desk {
    let ServiceConfig::Value(value) = &record.config else { panic!("{record:?}") };
    serde_json::from_value(value.clone()).unwrap()
}

fn is_able(record: &ServiceRecord, others: &BTreeSet<String>) -> bool {
    let desk = desk_of(record);
    let is_wanted = record.wanted == DesiredState::Running;
    is_wanted && desk.broken.is_empty() && desk.needs.iter().all(|need| others.contains(need))
}

/// What follows from the recorded facts.
async fn recorded(world: &World) -> Roster {
    let mut roster = Roster::new();
    for event in world.events.query(Query::new().limit(usize::MAX)).await.unwrap() {
        let fact = RosterFact::of(event.kind.as_str(), &event.payload).unwrap();
        fact.iter().for_each(|fact| roster.apply(fact));
    }
    roster
}

/// One history; the panic names its seed.
fn play(seed: u64) {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let played = catch_unwind(AssertUnwindSafe(|| runtime.block_on(history(seed))));
    assert!(played.is_ok(), "FOUNDATION_SIMULATION_SEED={seed} plays this history alone");
}

/// Plays every history of this remainder.
fn play_some(remainder: u64, threads: u64) {
    (0..HISTORIES).filter(|seed| seed % threads == remainder).for_each(play);
}

#[test]
fn after_any_history_what_is_wanted_runs_and_nothing_else() {
    if let Ok(seed) = env::var("FOUNDATION_SIMULATION_SEED") {
        return play(seed.parse().unwrap());
    }
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    thread::scope(|scope| (0..threads).for_each(|at| drop(scope.spawn(move || play_some(at, threads)))));
}
