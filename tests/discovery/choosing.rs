//! Choosing an instance for each call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foundation::ractor::{Actor, ActorProcessingErr, ActorRef};
use foundation::supervision::Health;
use foundation_discovery::choice::{Choice, Policy, RetryBudget, ScoreBy};
use foundation_discovery::health::CheckRules;
use foundation_discovery::{CallInstanceError, Discovery, Picked, Selector};
use foundation_testkit::{Command, Gate, SOON, eventually, soon};

use crate::setup::{World, all, name, orders, world};

fn id(picked: &Picked<Command>) -> String {
    picked.record().name().id().to_owned()
}

/// How often each instance is picked, by calls that succeed.
fn picks(selector: &mut Selector<Command>, turns: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..turns {
        let picked = selector.pick().unwrap();
        *counts.entry(id(&picked)).or_insert(0) += 1;
        picked.succeeded();
    }
    counts
}

fn make_unhealthy(world: &World, id: &str) {
    let result = Health::Failed("no disk".to_owned());
    world.discovery.record_check(&name(id), "disk", &CheckRules::new().fall(1), result).unwrap();
}

#[tokio::test]
async fn calls_are_spread_over_the_instances_that_fit() {
    let world = world().await;
    for id in ["a", "b", "c"] {
        world.spawn_as(orders(id).version("1.4.0")).await;
    }
    world.spawn_as(orders("old").version("1.3.0")).await;
    let criteria = all().version("^1.4").unwrap();
    let mut selector = world.discovery.selector::<Command>(criteria).choice(Choice::new().policy(Policy::RoundRobin));
    let mut answered = BTreeMap::new();
    for _ in 0..9 {
        let actor = selector.call(Command::Id, SOON).await.unwrap();
        *answered.entry(actor.pid()).or_insert(0) += 1;
    }
    assert_eq!(answered.values().copied().collect::<Vec<_>>(), [3, 3, 3]);
}

#[tokio::test]
async fn an_unhealthy_instance_is_left_out_until_too_few_are_left() {
    let world = world().await;
    for id in ["a", "b", "c"] {
        world.spawn(id).await;
    }
    let choice = Choice::new().policy(Policy::RoundRobin);
    let mut selector = world.discovery.selector::<Command>(all()).choice(choice);
    make_unhealthy(&world, "a");
    let counts = picks(&mut selector, 100);
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["b", "c"]);
    assert!(!selector.pick().unwrap().fail_open());
    make_unhealthy(&world, "b");
    let counts = picks(&mut selector, 200);
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(selector.pick().unwrap().fail_open(), "one of three is left, which it says");
}

#[tokio::test]
async fn an_instance_whose_calls_fail_is_ejected_for_all_selectors() {
    let world = world().await;
    for id in ["a", "b", "c"] {
        world.spawn(id).await;
    }
    let policy = Choice::new().policy(Policy::RoundRobin);
    let mut failing = world.discovery.selector::<Command>(all()).choice(policy.clone());
    for _ in 0..30 {
        let picked = failing.pick().unwrap();
        if id(&picked) == "a" { picked.failed() } else { picked.succeeded() }
    }
    let mut other = world.discovery.selector::<Command>(all()).choice(policy);
    assert_eq!(picks(&mut other, 100).keys().collect::<Vec<_>>(), ["b", "c"]);
}

#[tokio::test]
async fn calls_in_flight_count_for_all_selectors_until_they_end() {
    let world = world().await;
    for id in ["a", "b"] {
        world.spawn(id).await;
    }
    let choice = Choice::new().policy(Policy::LeastLoaded(ScoreBy::InFlight));
    let mut one = world.discovery.selector::<Command>(all()).choice(choice);
    let mut other = one.clone();
    let first = one.pick().unwrap();
    let second = other.pick().unwrap();
    assert_ne!(id(&first), id(&second), "the other one is idle");
    let expected = id(&first);
    drop(first);
    assert_eq!(id(&other.pick().unwrap()), expected, "a call that is dropped has ended");
}

#[tokio::test]
async fn an_instance_that_has_ended_is_never_picked() {
    let world = world().await;
    let mut actors = BTreeMap::new();
    for number in 0..20 {
        let id = format!("i{number}");
        actors.insert(id.clone(), world.spawn(&id).await);
    }
    let mut selector = world.discovery.selector::<Command>(all());
    picks(&mut selector, 20);
    while actors.len() > 1 {
        let (gone, actor) = actors.pop_first().unwrap();
        actor.kill();
        eventually("its end", async || (actor.get_status() >= foundation::ractor::ActorStatus::Stopping).then_some(()))
            .await;
        let picked = picks(&mut selector, 20);
        assert!(!picked.contains_key(&gone), "{gone}: {picked:?}");
    }
}

#[tokio::test]
async fn the_same_key_goes_to_the_same_instance_while_others_come_and_go() {
    let world = world().await;
    for id in ["a", "b", "c", "d"] {
        world.spawn(id).await;
    }
    let choice = Choice::new().policy(Policy::Rendezvous { bound_percent: None });
    let mut selector = world.discovery.selector::<Command>(all()).choice(choice);
    let mut of = |key: u8| id(&selector.pick_for(&[key]).unwrap());
    let before: Vec<_> = (0..100).map(&mut of).collect();
    assert_eq!((0..100).map(&mut of).collect::<Vec<_>>(), before);
    world.discovery.unregister(&name("b"));
    for (key, before) in (0..100).zip(before) {
        assert!(before == "b" || of(key) == before);
    }
}

#[tokio::test]
async fn instances_of_the_same_zone_are_preferred() {
    let world = world().await;
    world.spawn_as(orders("here").zone("eu/a")).await;
    world.spawn_as(orders("near").zone("eu/b")).await;
    world.spawn_as(orders("far").zone("us/a")).await;
    let choice = Choice::new().near("eu/a".parse().unwrap()).fail_open_below(0);
    let mut selector = world.discovery.selector::<Command>(all()).choice(choice);
    assert_eq!(picks(&mut selector, 50).keys().collect::<Vec<_>>(), ["here"]);
    make_unhealthy(&world, "here");
    assert_eq!(picks(&mut selector, 50).keys().collect::<Vec<_>>(), ["near"]);
    world.discovery.unregister(&name("near"));
    assert_eq!(picks(&mut selector, 50).keys().collect::<Vec<_>>(), ["far"]);
}

#[tokio::test]
async fn a_call_without_an_answer_is_made_again_only_if_that_does_no_harm() {
    let world = world().await;
    for id in ["a", "b", "c", "d"] {
        world.spawn(id).await;
    }
    let mut careful = world.discovery.selector::<Command>(all());
    let error = careful.call(Command::Drop, SOON).await.unwrap_err();
    let CallInstanceError::Call { before, .. } = &error else { panic!("{error}") };
    assert!(before.is_empty(), "{error}");

    let mut idempotent = world.discovery.selector::<Command>(all()).idempotent(true);
    let error = idempotent.call(Command::Drop, SOON).await.unwrap_err();
    let CallInstanceError::Call { instance, before, .. } = &error else { panic!("{error}") };
    assert_eq!(before.len(), 2, "three at most: {error}");
    assert!(!before.contains(instance) && before[0] != before[1], "another one each time: {error}");
    let text = format!("instance {instance} (after {}, {}): service {instance} in namespace", before[0], before[1]);
    assert!(error.to_string().starts_with(&text), "{error}");
}

#[tokio::test]
async fn without_a_budget_no_call_is_made_again() {
    let world = world().await;
    for id in ["a", "b"] {
        world.spawn(id).await;
    }
    let selector = world.discovery.selector::<Command>(all()).idempotent(true);
    let mut selector = selector.retry_budget(RetryBudget::new(0, 1));
    let mut tried = Vec::new();
    for _ in 0..2 {
        let error = selector.call(Command::Drop, SOON).await.unwrap_err();
        let CallInstanceError::Call { before, .. } = error else { panic!("{error}") };
        tried.push(before.len());
    }
    assert_eq!(tried, [1, 0]);
}

#[tokio::test]
async fn a_pick_says_why_there_is_none() {
    let world = world().await;
    let namespace = world.names.namespace();
    let mut selector = world.discovery.selector::<Command>(all());
    let error = selector.pick().unwrap_err().to_string();
    assert_eq!(error, format!("namespace {namespace}: there is no instance of orders"));
    let owner = world.spawn("a").await;
    assert_eq!(id(&selector.pick().unwrap()), "a", "one that has come is found");
    world.discovery.update(&name("a"), &owner, |it| it.draining(true)).unwrap();
    let error = selector.pick().unwrap_err().to_string();
    assert_eq!(error, format!("namespace {namespace}: none of 1 instances is in rotation: 1 draining"));
}

/// A message whose destructor asks the discovery.
struct Asks(Discovery, Arc<AtomicUsize>, Gate);

impl Drop for Asks {
    fn drop(&mut self) {
        let _ = self.0.services();
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

struct Clerk;

foundation::local_message!(Asks);

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Clerk {
    type Msg = Asks;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Asks>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<Asks>, message: Asks, (): &mut ()) -> Result<(), ActorProcessingErr> {
        message.2.pass().await;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destructor_of_a_message_may_ask_the_discovery_that_drops_it() {
    let world = world().await;
    let dropped = Arc::new(AtomicUsize::new(0));
    for round in 1..=20 {
        let gate = Gate::new();
        let instance = orders("a").build().unwrap();
        let clerk = world.discovery.spawn(&instance, Clerk, ()).await.unwrap();
        // The second stays unread, and goes with the last reference to its actor.
        for _ in 0..2 {
            let asks = Asks(world.discovery.clone(), Arc::clone(&dropped), gate.clone());
            clerk.cast(asks).unwrap_or_else(|_| panic!("it takes messages"));
        }
        soon("the first message", gate.arrival()).await;
        clerk.kill();
        drop(clerk);
        eventually("its end", async || world.ids().is_empty().then_some(())).await;
        eventually("the end of both", async || (dropped.load(Ordering::SeqCst) == 2 * round).then_some(())).await;
    }
}

#[tokio::test]
async fn actors_of_another_message_type_are_not_picked() {
    let world = world().await;
    world.spawn("a").await;
    world.discovery.spawn(&orders("b").build().unwrap(), Clerk, ()).await.unwrap();
    let mut selector = world.discovery.selector::<Command>(all());
    assert_eq!(picks(&mut selector, 50).keys().collect::<Vec<_>>(), ["a"]);
    let mut others = world.discovery.selector::<u64>(all());
    let error = others.pick().unwrap_err().to_string();
    assert!(error.ends_with("there is no instance to choose from"), "{error}");
}
