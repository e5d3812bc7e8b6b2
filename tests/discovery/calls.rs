//! What is counted of calls: by the incarnation that got them, once each, and for the meter of the namespace.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foundation::names::{ServiceName, ServiceRegistry};
use foundation::ractor::{Actor, ActorProcessingErr, ActorRef};
use foundation::supervision::{BoxError, Health};
use foundation_discovery::choice::{Choice, OutlierRules, Policy, RetryBudget};
use foundation_discovery::health::CheckRules;
use foundation_discovery::{Criteria, Discovery, DiscoveryMeter, DiscoveryOptions, PickCounters, Selector};
use foundation_testkit::{Command, Gate, SOON, eventually, soon};

use crate::setup::{World, all, name, orders, world, world_with};

/// Hands out the same counters for each service, after a pick of its own.
#[derive(Clone, Default)]
struct Meter {
    counters: PickCounters,
    asked: Arc<AtomicUsize>,
    picks: bool,
}

impl DiscoveryMeter for Meter {
    fn picks(&self, names: &ServiceRegistry, service: &ServiceName) -> Result<PickCounters, BoxError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.picks {
            Discovery::of(names).selector::<Command>(Criteria::service(service)).pick().unwrap().failed();
        }
        Ok(self.counters.clone())
    }

    fn check_ran(&self, _: &ServiceRegistry, _: &ServiceName, _: &str, _: std::time::Duration) {}
}

impl Meter {
    /// The calls that have succeeded, have failed, and were cancelled.
    fn calls(&self) -> [u64; 3] {
        [&self.counters.succeeded, &self.counters.failed, &self.counters.cancelled].map(|counter| counter.value())
    }

    /// The casts, and all that failed open.
    fn cast_and_fail_open(&self) -> [u64; 2] {
        [&self.counters.cast, &self.counters.fail_open].map(|counter| counter.value())
    }

    /// The picks without an instance: none fits, all answer to another type, all are out of rotation.
    fn without_instance(&self) -> [u64; 3] {
        let PickCounters { none_fits, other_message, none_in_rotation, .. } = &self.counters;
        [none_fits, other_message, none_in_rotation].map(|counter| counter.value())
    }
}

async fn measured(meter: &Meter) -> World {
    let rules = OutlierRules::new().max_percent(0);
    world_with(DiscoveryOptions::new().outliers(rules).measured_by(meter.clone())).await
}

#[tokio::test]
async fn a_retry_that_is_not_made_is_not_counted_and_leaves_its_instance_idle() {
    let meter = Meter::default();
    let world = measured(&meter).await;
    for id in ["a", "b"] {
        world.spawn(id).await;
    }
    let selector = world.discovery.selector::<Command>(all()).idempotent(true);
    let mut selector = selector.retry_budget(RetryBudget::new(0, 0));
    selector.call(Command::Drop, SOON).await.unwrap_err();
    assert_eq!(meter.calls(), [0, 1, 0]);
    let idle: Vec<_> = selector.candidates().unwrap().iter().map(|it| it.load.idle.is_none()).collect();
    assert_eq!(idle.iter().filter(|idle| **idle).count(), 1, "one of two was never called: {idle:?}");
}

#[tokio::test]
async fn a_meter_may_pick_while_it_is_asked_and_every_pick_is_counted() {
    let meter = Meter { picks: true, ..Meter::default() };
    let world = measured(&meter).await;
    world.spawn("a").await;
    let mut selector = world.discovery.selector::<Command>(all());
    for _ in 0..3 {
        selector.pick().unwrap().succeeded();
    }
    assert_eq!((meter.calls(), meter.asked.load(Ordering::SeqCst)), ([3, 1, 0], 1), "its own failed");
}

#[tokio::test]
async fn picks_without_an_instance_are_counted_by_their_reason() {
    let meter = Meter::default();
    let world = measured(&meter).await;
    let mut selector = world.discovery.selector::<Command>(all()).choice(Choice::new().fail_open_below(0));
    assert!(selector.pick().is_err() && selector.cast(Command::Stop(None)).is_err());
    assert_eq!(meter.without_instance(), [2, 0, 0]);
    world.spawn("a").await;
    assert!(world.discovery.selector::<u64>(all()).pick().is_err());
    assert_eq!(meter.without_instance(), [2, 1, 0]);
    let result = Health::Failed("no disk".to_owned());
    world.discovery.record_check(&name("a"), "disk", &CheckRules::new().fall(1), result).unwrap();
    assert!(selector.pick().is_err() && selector.call(Command::Drop, SOON).await.is_err());
    assert_eq!((meter.without_instance(), meter.calls()), ([2, 1, 2], [0; 3]));
}

#[tokio::test]
async fn each_end_of_a_pick_is_counted_once() {
    let meter = Meter::default();
    let world = measured(&meter).await;
    world.spawn("a").await;
    let mut selector = world.discovery.selector::<Command>(all());
    selector.pick().unwrap().succeeded();
    selector.pick().unwrap().failed();
    drop(selector.pick().unwrap());
    assert_eq!((meter.calls(), meter.cast_and_fail_open()), ([1, 1, 1], [0, 0]));
}

#[tokio::test]
async fn casts_are_counted_as_soon_as_they_are_taken_and_those_that_failed_open_are() {
    let meter = Meter::default();
    let world = measured(&meter).await;
    world.spawn("a").await;
    let mut selector = world.discovery.selector::<Command>(all());
    selector.cast(Command::Note("in rotation")).unwrap();
    assert_eq!(meter.cast_and_fail_open(), [1, 0]);
    let result = Health::Failed("no disk".to_owned());
    world.discovery.record_check(&name("a"), "disk", &CheckRules::new().fall(1), result).unwrap();
    selector.cast(Command::Note("fails open")).unwrap();
    selector.pick().unwrap().succeeded();
    assert_eq!((meter.cast_and_fail_open(), meter.calls()), ([2, 2], [1, 0, 0]));
    assert_eq!(meter.without_instance(), [0; 3]);
}

#[tokio::test]
async fn a_call_that_is_made_again_is_counted_for_each_instance_that_it_was_sent_to() {
    let meter = Meter::default();
    let world = measured(&meter).await;
    for id in ["a", "b", "c"] {
        world.spawn(id).await;
    }
    let selector = world.discovery.selector::<Command>(all()).idempotent(true);
    let mut selector = selector.retry_budget(RetryBudget::new(0, 1));
    selector.call(Command::Drop, SOON).await.unwrap_err();
    assert_eq!(meter.calls(), [0, 2, 0], "one retry of the budget");
    selector.call(Command::Drop, SOON).await.unwrap_err();
    assert_eq!(meter.calls(), [0, 3, 0], "no retry is left");
}

fn id(selector: &mut Selector<Command>) -> String {
    selector.pick().unwrap().record().name().id().to_owned()
}

#[tokio::test]
async fn an_actor_with_the_names_of_two_instances_is_ejected_as_the_one_whose_calls_fail() {
    let world = world().await;
    let actor = world.spawn("a").await;
    world.discovery.register(&orders("b").build().unwrap(), &actor).await.unwrap();
    for id in ["c", "d"] {
        world.spawn(id).await;
    }
    let mut selector = world.discovery.selector::<Command>(all()).choice(Choice::new().policy(Policy::RoundRobin));
    for _ in 0..20 {
        let picked = selector.pick().unwrap();
        if picked.record().name().id() == "a" { picked.failed() } else { picked.succeeded() }
    }
    let mut picked: Vec<_> = (0..9).map(|_| id(&mut selector)).collect();
    picked.sort();
    picked.dedup();
    assert_eq!(picked, ["b", "c", "d"]);
}

#[tokio::test]
async fn a_pick_says_that_its_only_instance_takes_no_more_messages() {
    let world = world().await;
    let (actor, gate) = (world.spawn("a").await, Gate::new());
    let mut selector = world.discovery.selector::<Command>(all());
    actor.cast(Command::Stay(gate.clone())).unwrap();
    soon("its message", gate.arrival()).await;
    // It handles what it has, and so the registry has not noted its end.
    actor.drain().unwrap();
    let error = selector.pick().unwrap_err().to_string();
    assert!(error.ends_with("none of 1 instances is in rotation: 1 ended"), "{error}");
    gate.open();
}

/// A message that says when it is dropped.
struct Unread(Arc<AtomicUsize>, Gate);

impl Drop for Unread {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

foundation::local_message!(Unread);

struct Clerk;

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Clerk {
    type Msg = Unread;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Unread>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<Unread>, message: Unread, (): &mut ()) -> Result<(), ActorProcessingErr> {
        message.1.pass().await;
        Ok(())
    }
}

#[tokio::test]
async fn a_call_under_way_keeps_nothing_of_the_other_instances() {
    let world = world().await;
    let (gate, dropped) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
    let spawn = async |id| world.discovery.spawn(&orders(id).build().unwrap(), Clerk, ()).await.unwrap();
    let (_kept, gone) = (spawn("a").await, spawn("b").await);
    let mut selector = world.discovery.selector::<Unread>(all()).choice(Choice::new().policy(Policy::RoundRobin));
    let under_way = selector.pick().unwrap();
    assert_eq!(under_way.record().name().id(), "a");
    // The second stays unread, and goes with the last reference to its actor.
    for _ in 0..2 {
        gone.cast(Unread(Arc::clone(&dropped), gate.clone())).unwrap_or_else(|_| panic!("it takes messages"));
    }
    soon("the first message", gate.arrival()).await;
    gone.kill();
    drop(gone);
    eventually("its end", async || (world.ids() == ["a"]).then_some(())).await;
    selector.pick().unwrap().succeeded();
    eventually("the end of both", async || (dropped.load(Ordering::SeqCst) == 2).then_some(())).await;
    under_way.succeeded();
}
