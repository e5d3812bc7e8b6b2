//! Choosing an instance for each call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foundation::ractor::{Actor, ActorProcessingErr, ActorRef};
use foundation::supervision::Health;
use foundation_discovery::choice::{
    Candidate, Choice, ChoiceReason, OutReason, OutlierRules, Policy, RetryBudget, Score, ScoreBy,
};
use foundation_discovery::health::CheckRules;
use foundation_discovery::{
    CallInstanceError, CastInstanceReason, Discovery, DiscoveryOptions, InstanceName, PickError, Picked, Selector,
};
use foundation_testkit::{Command, Gate, SOON, eventually, soon};

use crate::setup::{World, all, name, orders, world, world_with};

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
    // Whatever the policy is.
    let mut selector = world.discovery.selector::<Command>(all());
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
    let error = others.pick().unwrap_err();
    assert!(matches!(error, PickError::OtherMessage { instances: 2, .. }), "{error}");
    assert!(
        error.to_string().contains("none of 2 instances that fit answers to u64: ask for a selector of"),
        "{error}"
    );
}

#[tokio::test]
async fn a_key_keeps_to_its_instance_until_that_one_has_more_than_its_share() {
    let world = world().await;
    for id in ["a", "b", "c", "d"] {
        world.spawn(id).await;
    }
    let mut selector = world.discovery.selector::<Command>(all());
    let first = selector.pick_for(b"customer-7").unwrap();
    assert_eq!(first.reason(), ChoiceReason::Key { skipped: 0 });
    let second = selector.pick_for(b"customer-7").unwrap();
    assert_eq!((id(&second) == id(&first), second.reason()), (false, ChoiceReason::Key { skipped: 1 }));
    let expected = id(&first);
    drop((first, second));
    assert_eq!(id(&selector.pick_for(b"customer-7").unwrap()), expected);
}

#[tokio::test]
async fn a_retry_does_not_fail_open_since_those_that_were_tried_are_left_out() {
    let rules = OutlierRules::new().failures_in_a_row(u32::MAX);
    let world = world_with(DiscoveryOptions::new().outliers(rules)).await;
    for id in ["a", "b", "c"] {
        world.spawn(id).await;
    }
    make_unhealthy(&world, "c");
    let mut selector = world.discovery.selector::<Command>(all()).idempotent(true);
    for _ in 0..20 {
        let error = selector.call(Command::Drop, SOON).await.unwrap_err();
        let CallInstanceError::Call { instance, before, .. } = &error else { panic!("{error}") };
        assert!(before.len() == 1 && before.iter().chain([instance]).all(|it| it.id() != "c"), "{error}");
        selector = selector.retry_budget(RetryBudget::default());
    }
}

#[tokio::test]
async fn the_retry_budget_is_not_spent_if_there_is_no_other_instance() {
    let world = world().await;
    world.spawn("a").await;
    let selector = world.discovery.selector::<Command>(all()).idempotent(true);
    let mut selector = selector.retry_budget(RetryBudget::new(0, 1));
    for _ in 0..3 {
        selector.call(Command::Drop, SOON).await.unwrap_err();
    }
    world.spawn("b").await;
    let error = selector.call(Command::Drop, SOON).await.unwrap_err();
    let CallInstanceError::Call { before, .. } = &error else { panic!("{error}") };
    assert_eq!(before.len(), 1, "the retry is still there: {error}");
}

/// Panics for one of two instances.
struct PanicsFor(&'static str);

impl Score for PanicsFor {
    fn score(&self, candidate: &Candidate<'_>, _: f64) -> f64 {
        assert_ne!(candidate.name().id(), self.0, "no score for it");
        1.0
    }
}

#[tokio::test]
async fn a_score_that_panics_is_the_worst_and_ends_no_caller() {
    let world = world().await;
    for id in ["a", "b"] {
        world.spawn(id).await;
    }
    let by = ScoreBy::Custom(Arc::new(PanicsFor("a")));
    let choice = Choice::new().policy(Policy::LeastLoaded(by));
    let mut selector = world.discovery.selector::<Command>(all()).choice(choice);
    assert_eq!(picks(&mut selector, 20).keys().collect::<Vec<_>>(), ["b"]);
    world.discovery.unregister(&name("b"));
    assert_eq!(picks(&mut selector, 5)["a"], 5, "there is no other");
    assert!(selector.candidates().unwrap()[0].score.unwrap().is_infinite());
}

#[tokio::test]
async fn a_pick_says_why_its_instance_was_chosen() {
    let world = world().await;
    world.spawn("a").await;
    let mut selector = world.discovery.selector::<Command>(all());
    assert_eq!(selector.pick().unwrap().reason(), ChoiceReason::OnlyOne);
    world.spawn("b").await;
    let choice = Choice::new().policy(Policy::PowerOfTwo(ScoreBy::InFlight)).slow_start(std::time::Duration::ZERO);
    let mut selector = selector.choice(choice);
    let first = selector.pick().unwrap();
    let second = selector.pick().unwrap();
    let other = first.record().name().clone();
    assert_eq!(second.reason(), ChoiceReason::LowerScore { score: 0.01, other: other.clone(), other_score: 0.02 });
    assert_eq!(second.reason().to_string(), format!("its score 0.010 is lower than 0.020 of {other}"));
}

#[tokio::test]
async fn the_candidates_are_shown_with_their_loads_and_why_one_is_out() {
    let world = world().await;
    for id in ["a", "b", "c", "d"] {
        world.spawn(id).await;
    }
    make_unhealthy(&world, "b");
    let mut selector = world.discovery.selector::<Command>(all());
    let picked: Vec<_> = (0..3).map(|_| selector.pick().unwrap()).collect();
    let candidates = selector.candidates().unwrap();
    assert_eq!(candidates.iter().map(|it| it.load.in_flight).sum::<u32>(), 3);
    let unhealthy = &candidates[1];
    assert_eq!((unhealthy.name.id(), unhealthy.out, unhealthy.takes_part), ("b", Some(OutReason::Unhealthy), false));
    assert!(unhealthy.score.is_none() && candidates[0].score.is_some());
    let line = unhealthy.to_string();
    assert!(line.starts_with("orders.b                 unhealthy  unhealthy    100"), "{line}");
    let json = serde_json::to_value(unhealthy).unwrap();
    assert_eq!(
        (&json["name"], &json["out"], &json["status"]),
        (&"orders.b".into(), &"unhealthy".into(), &"unhealthy".into())
    );
    drop(picked);
    ["a", "c", "d"].iter().for_each(|id| make_unhealthy(&world, id));
    let mut strict = selector.choice(Choice::new().fail_open_below(0));
    assert!(strict.candidates().unwrap().iter().all(|it| it.out == Some(OutReason::Unhealthy) && !it.takes_part));
}

#[tokio::test]
async fn a_cast_goes_to_an_instance_and_comes_back_if_there_is_none() {
    let world = world().await;
    let mut selector = world.discovery.selector::<Command>(all());
    let error = selector.cast(Command::Stop(None)).unwrap_err();
    assert!(matches!((&error.message, &*error.reason), (Command::Stop(None), CastInstanceReason::Pick(_))), "{error}");
    let actors = [world.spawn("a").await, world.spawn("b").await];
    for _ in 0..2 {
        selector.cast(Command::Stop(None)).unwrap();
        let left = eventually("the end of one", async || Some(world.ids().len()).filter(|left| *left < 2)).await;
        if left == 0 {
            break;
        }
    }
    eventually("the end of both", async || world.ids().is_empty().then_some(())).await;
    drop(actors);
    assert!(selector.cast(Command::Stop(None)).is_err());
}

#[tokio::test(start_paused = true)]
async fn an_ejection_ends_by_time_for_a_selector_that_has_seen_it() {
    let rules = OutlierRules::new().ejection(SOON, SOON).small_services(true);
    let world = world_with(DiscoveryOptions::new().outliers(rules)).await;
    for id in ["a", "b"] {
        world.spawn(id).await;
    }
    // Neither measures times.
    for policy in [Policy::RoundRobin, Policy::PowerOfTwo(ScoreBy::InFlight)] {
        let mut selector = world.discovery.selector::<Command>(all()).choice(Choice::new().policy(policy));
        let ejected = loop {
            let picked = selector.pick().unwrap();
            if id(&picked) == "a" {
                picked.failed()
            } else {
                picked.succeeded()
            }
            let out = |it: &foundation_discovery::CandidateReport| it.out == Some(OutReason::Ejected);
            if selector.candidates().unwrap().iter().any(out) {
                break picks(&mut selector, 20);
            }
        };
        assert_eq!(ejected.keys().collect::<Vec<_>>(), ["b"]);
        tokio::time::advance(SOON).await;
        assert_eq!(picks(&mut selector, 40).keys().collect::<Vec<_>>(), ["a", "b"]);
    }
}

#[tokio::test]
async fn a_pick_that_outlives_its_instance_and_its_namespace_is_harmless() {
    let world = world().await;
    for id in ["a", "b", "c"] {
        world.spawn(id).await;
    }
    let mut selector = world.discovery.selector::<Command>(all());
    let outlives_instance: Vec<_> = (0..20).map(|_| selector.pick().unwrap()).collect();
    let gone: Vec<InstanceName> = ["a", "b"].map(name).into();
    gone.iter().for_each(|gone| assert!(world.discovery.unregister(gone)));
    for id in ["a", "b"] {
        world.spawn(id).await;
    }
    outlives_instance.into_iter().for_each(Picked::failed);
    let candidates = selector.candidates().unwrap();
    // The next incarnations begin without a record; `c` has failed, and is the only one.
    let failed: Vec<_> = candidates.iter().filter(|it| it.load.success < 1.0).map(|it| it.name.id()).collect();
    assert_eq!(failed, ["c"]);
    let outlives_namespace: Vec<_> = (0..6).map(|_| selector.pick().unwrap()).collect();
    world.names.cleanup().await.unwrap();
    assert!(matches!(selector.pick(), Err(PickError::NotRunning { .. })));
    for (at, picked) in outlives_namespace.into_iter().enumerate() {
        assert_eq!(picked.record().service().as_str(), "orders");
        if at % 2 == 0 { picked.failed() } else { picked.succeeded() }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn picks_of_many_tasks_are_counted_exactly_while_instances_come_and_go() {
    let world = world().await;
    for id in ["a", "b", "c", "d"] {
        world.spawn(id).await;
    }
    let selector = world.discovery.selector::<Command>(all());
    let caller = |mut selector: Selector<Command>, number: u32| async move {
        let mut kept = Vec::new();
        for turn in 0..2_000_u32 {
            let picked = selector.pick().unwrap();
            match (turn + number) % 5 {
                0 => kept.push(picked),
                1 => picked.failed(),
                _ => picked.succeeded(),
            }
            if turn.is_multiple_of(64) {
                kept.clear();
                tokio::task::yield_now().await;
            }
        }
    };
    let callers: Vec<_> = (0..8).map(|number| tokio::spawn(caller(selector.clone(), number))).collect();
    for round in 0..50 {
        let id = format!("comes-{round}");
        world.spawn(&id).await;
        tokio::task::yield_now().await;
        world.discovery.unregister(&name(&id));
    }
    for caller in callers {
        caller.await.unwrap();
    }
    let candidates = selector.clone().candidates().unwrap();
    assert_eq!(
        candidates.iter().map(|it| (it.name.id(), it.load.in_flight)).collect::<Vec<_>>(),
        [("a", 0), ("b", 0), ("c", 0), ("d", 0),]
    );
}
