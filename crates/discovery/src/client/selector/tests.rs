//! Tests of what a selector keeps, and of races with a call.

use foundation_kernel::names::{Namespace, ProcessRegistry};

use super::*;
use crate::choice::{Policy, ScoreBy};
use crate::instance::Instance;
use crate::samples::{Idle, ORDERS};

async fn spawn(discovery: &Discovery, service: &str, id: &str) {
    let instance = Instance::builder(service, id).build().unwrap();
    discovery.spawn(&instance, Idle, ()).await.unwrap();
}

async fn discovery() -> (Discovery, ProcessRegistry) {
    let registry = ProcessRegistry::start().await.unwrap();
    let discovery = Discovery::of(&registry.namespace(Namespace::test()).await.unwrap());
    spawn(&discovery, "orders", "a").await;
    (discovery, registry)
}

#[tokio::test]
async fn a_change_of_another_service_leaves_a_list_as_it_is() {
    let (discovery, _registry) = discovery().await;
    let mut of_orders = discovery.selector::<u64>(Criteria::service(&ORDERS));
    let mut of_all = discovery.selector::<u64>(Criteria::any());
    let mut lists = || {
        [&mut of_orders, &mut of_all].map(|selector| {
            selector.pick().unwrap().succeeded();
            Arc::clone(&selector.known.list[0])
        })
    };
    let before = lists();
    spawn(&discovery, "mail", "a").await;
    let other_service = lists();
    spawn(&discovery, "orders", "b").await;
    let same_service = lists();
    let is_same = |one: &[Arc<_>; 2], other: &[Arc<_>; 2]| [0, 1].map(|at| Arc::ptr_eq(&one[at], &other[at]));
    assert_eq!(is_same(&before, &other_service), [true, false], "of all services, each change counts");
    assert_eq!(is_same(&other_service, &same_service), [false, false]);
}

#[tokio::test]
async fn a_call_that_is_lost_to_a_drain_has_not_begun() {
    let (discovery, _registry) = discovery().await;
    let choice = Choice::new().policy(Policy::PowerOfTwo(ScoreBy::PeakEwma));
    let mut selector = discovery.selector::<u64>(Criteria::service(&ORDERS)).choice(choice);
    let now = Now::default();
    let decided = selector.choose_usual(None, &now).unwrap();
    let fitting = &selector.known.list[decided.at];
    // Between the choice and the beginning of the call.
    fitting.calls.set_draining(true);
    assert!(!fitting.begin_call(Some(now.get())));
    let load = fitting.calls.load.reading(&fitting.service.rules, now.get());
    assert_eq!((load.in_flight, load.idle, fitting.calls.load.ended()), (0, None, 0));
}

/// A selector that takes turns, with so many retries, and a choice whose instance ends before it gets a message.
async fn chosen_and_ended(discovery: &Discovery, retries: u8) -> (Selector<u64>, Decision, InstanceName) {
    let selector =
        discovery.selector::<u64>(Criteria::service(&ORDERS)).choice(Choice::new().policy(Policy::RoundRobin));
    let mut selector = selector.retry_budget(RetryBudget::new(0, retries));
    let chosen = selector.choose_usual(None, &Now::default()).unwrap();
    let ended = selector.known.list[chosen.at].record.name().clone();
    selector.known.list[chosen.at].actor.stop_and_wait(None, None).await.unwrap();
    (selector, chosen, ended)
}

#[tokio::test]
async fn a_cast_to_an_instance_that_has_just_ended_goes_to_another_one_and_costs_a_retry() {
    let (discovery, _registry) = discovery().await;
    spawn(&discovery, "orders", "b").await;
    let (mut selector, chosen, _) = chosen_and_ended(&discovery, 1).await;
    selector.send(chosen, 7).unwrap();
    assert_eq!(selector.budget.balance(), 0);
}

#[tokio::test]
async fn a_cast_that_may_not_be_made_again_comes_back_with_the_instance_that_did_not_take_it() {
    let (discovery, _registry) = discovery().await;
    spawn(&discovery, "orders", "b").await;
    let (mut selector, chosen, ended) = chosen_and_ended(&discovery, 0).await;
    let CastInstanceError { message, reason } = selector.send(chosen, 7).unwrap_err();
    let CastInstanceReason::NotTaken { instance, before, .. } = *reason else { panic!("{reason}") };
    assert_eq!((message, instance, before), (7, ended, vec![]));
}

#[tokio::test]
async fn a_cast_without_another_instance_comes_back_and_costs_no_retry() {
    let (discovery, _registry) = discovery().await;
    let (mut selector, chosen, _) = chosen_and_ended(&discovery, 1).await;
    assert_eq!(selector.send(chosen, 7).unwrap_err().message, 7);
    assert_eq!(selector.budget.balance(), 1);
}

#[tokio::test]
async fn the_calls_of_a_service_without_instances_are_kept_as_long_as_a_selector_uses_them() {
    let (discovery, _registry) = discovery().await;
    let selector = discovery.selector::<u64>(Criteria::service(&"mail".parse().unwrap()));
    let calls = Arc::downgrade(selector.calls.as_ref().unwrap());
    spawn(&discovery, "mail", "a").await;
    discovery.unregister(&InstanceName::new(&"mail".parse().unwrap(), "a").unwrap());
    let other = discovery.selector::<u64>(Criteria::service(&"shop".parse().unwrap()));
    assert!(calls.upgrade().is_some());
    drop((selector, other));
    discovery.selector::<u64>(Criteria::service(&"press".parse().unwrap()));
    assert!(calls.upgrade().is_none());
}
