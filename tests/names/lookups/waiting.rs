//! Waiting for a name: woken by the registration, never by a clock.

use std::time::Duration;

use foundation::Restart;
use foundation::names::RegistryError;
use foundation_testkit::{Behavior, Gate, Probe, Puppet, SOON, test_registry};
use futures::FutureExt;
use futures::future::join_all;
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::setup::{Lamp, LampMsg, OTHER, PROBE, count, foreign, key};

#[tokio::test(start_paused = true)]
async fn a_thousand_waiters_are_woken_by_one_registration() {
    let (_registry, names) = test_registry().await;
    let begun = Instant::now();
    let waiters: Vec<_> = (0..1_000)
        .map(|_| {
            let names = names.clone();
            tokio::spawn(async move { names.wait_for_service(&PROBE, SOON).await.unwrap().get_id() })
        })
        .collect();
    yield_now().await;
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    for found in join_all(waiters).await {
        assert_eq!(found.unwrap(), actor.get_id());
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_waiters_on_several_threads_are_all_woken() {
    let (_registry, names) = test_registry().await;
    for _ in 0..5 {
        let waiters: Vec<_> = (0..1_000)
            .map(|_| {
                let names = names.clone();
                tokio::spawn(async move { names.wait_for_service(&PROBE, SOON).await.unwrap().get_id() })
            })
            .collect();
        // No pause: some wait already, some check just as it appears, some come later.
        let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
        for found in join_all(waiters).await {
            assert_eq!(found.unwrap(), actor.get_id());
        }
        actor.stop_and_wait(None, None).await.unwrap();
    }
}

/// The critical moment, many times: a waiter checks just as the name appears. A lost wake is a wait of ten seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_is_lost() {
    let (_registry, names) = test_registry().await;
    let actor = foreign(Probe::default()).await;
    for _ in 0..3_000 {
        let waiting = tokio::spawn({
            let names = names.clone();
            async move { names.wait_for_service(&PROBE, SOON).await }
        });
        names.register(&PROBE, &actor).await.unwrap();
        waiting.await.unwrap().unwrap();
        names.unregister(&PROBE);
    }
}

#[tokio::test]
async fn waiters_for_one_name_are_not_notified_of_another() {
    let (_registry, names) = test_registry().await;
    let mut waiting = std::pin::pin!(names.wait_for_service(&PROBE, SOON));
    assert!((&mut waiting).now_or_never().is_none());
    let looked = count(&names, "registry.lookups");
    names.spawn(&OTHER, Probe::default(), ()).await.unwrap();
    assert!((&mut waiting).now_or_never().is_none());
    assert_eq!(count(&names, "registry.lookups"), looked, "it is not even woken");
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    waiting.await.unwrap();
}

#[tokio::test]
async fn a_waiter_that_is_cancelled_does_not_keep_others_from_being_woken() {
    let (_registry, names) = test_registry().await;
    let mut first = Box::pin(names.wait_for_service(&PROBE, SOON));
    let mut second = Box::pin(names.wait_for_service(&PROBE, SOON));
    assert!((&mut first).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());
    drop(first);
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    second.now_or_never().expect("woken, and it is there").unwrap();
}

#[tokio::test]
async fn a_start_that_fails_does_not_complete_a_wait() {
    let (_registry, names) = test_registry().await;
    let mut waiting = std::pin::pin!(names.wait_for_service(&PROBE, SOON));
    assert!((&mut waiting).now_or_never().is_none());
    names.spawn(&PROBE, Probe::default().start(Behavior::Fail("no")), ()).await.unwrap_err();
    assert!((&mut waiting).now_or_never().is_none());
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    waiting.await.unwrap();
}

#[tokio::test]
async fn a_wait_continues_while_a_holder_leaves() {
    let (_registry, names) = test_registry().await;
    let gate = Gate::new();
    let old = names.spawn(&PROBE, Probe::default().stop(Behavior::Wait(gate.clone())), ()).await.unwrap();
    old.stop(None);
    gate.arrival().await;
    let mut waiting = std::pin::pin!(names.wait_for_service(&PROBE, SOON));
    assert!((&mut waiting).now_or_never().is_none());
    gate.open();
    let new = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert_eq!(waiting.await.unwrap().get_id(), new.get_id());
}

#[tokio::test]
async fn a_waiter_finds_the_next_incarnation_of_a_supervised_service() {
    let (_registry, names) = test_registry().await;
    let puppet = Puppet::default();
    let on = puppet.clone();
    let spec = names.child_spec(&PROBE, move || (on.actor(), ())).restart(Restart::Permanent);
    let first = names.supervise(spec).await.unwrap().unwrap();
    first.kill_and_wait(None).await.unwrap();
    let second = names.wait_for_service(&PROBE, SOON).await.unwrap();
    assert_ne!(first.get_id(), second.get_id());
}

#[tokio::test]
async fn waiting_for_a_service_of_another_type_fails_at_once() {
    let (_registry, names) = test_registry().await;
    let lamp = key::<LampMsg>("probe");
    let mut waiting = std::pin::pin!(names.wait_for_service(&lamp, SOON));
    assert!((&mut waiting).now_or_never().is_none());
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let refused = waiting.await.unwrap_err();
    assert!(matches!(refused, RegistryError::WrongType { .. }), "{refused}");
    names.unregister(&PROBE);
    names.spawn(&lamp, Lamp, ()).await.unwrap();
    names.wait_for_service(&lamp, SOON).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_times_out_names_the_near_misses() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let late = names.wait_for_service(&key::<LampMsg>("prob"), Duration::from_secs(2)).await.unwrap_err();
    let text = format!("service prob did not appear in namespace {} within 2s; did you mean probe?", names.namespace());
    assert_eq!(late.to_string(), text);
}

#[tokio::test]
async fn a_wait_with_a_limit_of_zero_is_a_lookup() {
    let (_registry, names) = test_registry().await;
    names.wait_for_service(&PROBE, Duration::ZERO).await.unwrap_err();
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    names.wait_for_service(&PROBE, Duration::ZERO).await.unwrap();
}

/// No actor will ever register there again, so there is nothing to wait for.
#[tokio::test(start_paused = true)]
async fn a_wait_for_a_service_ends_with_its_namespace() {
    let (_registry, names) = test_registry().await;
    let begun = Instant::now();
    let waiting = tokio::spawn({
        let names = names.clone();
        async move { names.wait_for_service(&PROBE, SOON).await }
    });
    yield_now().await;
    names.cleanup().await.unwrap();
    let ended = waiting.await.unwrap().unwrap_err();
    assert!(matches!(ended, RegistryError::NotRunning { .. }), "{ended}");
    let afterwards = names.wait_for_service(&PROBE, SOON).await.unwrap_err();
    assert!(matches!(afterwards, RegistryError::NotRunning { .. }), "{afterwards}");
    assert_eq!(begun.elapsed(), Duration::ZERO);
}
