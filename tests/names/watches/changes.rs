//! Watching the names of a namespace.

use std::sync::Mutex;

use foundation::names::{Metadata, NameChange, Origin, ProcessRegistry, ServiceRegistry, Watch, Watched};
use foundation::ractor::ActorId;
use foundation::supervision::ExitReason;
use foundation::{Namespace, Restart};
use foundation_testkit::{Behavior, Command, Gate, Probe, Puppet, test_registry};
use futures::{FutureExt, StreamExt};

use super::mirror::{Mirror, change, died, holders, registered, shown, snapshot};
use crate::ending::Ending;
use crate::setup::{OTHER, PROBE, foreign, key};

async fn watched(names: &ServiceRegistry) -> Watch {
    let mut watch = names.watch();
    snapshot(&mut watch).await;
    watch
}

/// CONFORMANCE 2.2: listeners get register and unregister events.
#[tokio::test]
async fn reg_2_2_listeners_are_notified_of_names_that_come_and_go() {
    let (_registry, names) = test_registry().await;
    let first = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let mut watch = names.watch();
    assert_eq!(snapshot(&mut watch).await, [("probe".to_owned(), first.get_id())]);

    let second = foreign(Probe::default()).await;
    names.register(&OTHER, &second).await.unwrap();
    let service = registered(&mut watch, second.get_id()).await;
    assert_eq!((service.name.as_str(), service.origin, service.restarts), ("other", Origin::Foreign, 0));
    names.unregister(&OTHER);
    let gone = NameChange::Unregistered { name: OTHER.name().clone(), actor: second.get_id() };
    assert_eq!(change(&mut watch).await, gone);
    first.stop(Some("done".to_owned()));
    assert_eq!(died(&mut watch, first.get_id()).await, Some(ExitReason::Shutdown("done".into())));
    assert!(watch.next().now_or_never().is_none(), "nothing else has happened");
}

fn expected(ending: Ending) -> Result<ExitReason, &'static str> {
    match ending {
        Ending::Stop | Ending::Leave | Ending::Drain => Ok(ExitReason::Normal),
        Ending::Kill | Ending::KillWhileBusy | Ending::KillInPostStop => Ok(ExitReason::Killed),
        Ending::Panic => Err("ordered to panic"),
        Ending::Fail => Err("ordered to fail"),
        Ending::PostStopFails => Err("post_stop fails"),
        Ending::PostStopPanics => Err("post_stop panics"),
    }
}

fn assert_reason(ending: Ending, found: Option<ExitReason>) {
    match (expected(ending), found) {
        (Ok(expected), found) => assert_eq!(found, Some(expected), "{ending:?}"),
        (Err(text), Some(ExitReason::Failed(found))) => assert!(found.contains(text), "{ending:?}: {found}"),
        (Err(_), found) => panic!("{ending:?}: {found:?}"),
    }
}

/// For every way to start the actor, and every order of ractor's events and drops.
async fn each_death_is_reported_with_its_reason() {
    for ending in Ending::ALL {
        let (registry, names) = test_registry().await;
        let mut watch = watched(&names).await;
        let (puppet, gate) = (Puppet::default(), Gate::new());
        let ours = names.spawn(&PROBE, ending.probe(&puppet, &gate), ()).await.unwrap();
        registered(&mut watch, ours.get_id()).await;
        ending.bring_about(&ours, &gate).await;
        assert_reason(ending, died(&mut watch, ours.get_id()).await);

        let gate = Gate::new();
        let outside = foreign(ending.probe(&puppet, &gate)).await;
        names.register(&OTHER, &outside).await.unwrap();
        registered(&mut watch, outside.get_id()).await;
        ending.bring_about(&outside, &gate).await;
        assert_reason(ending, died(&mut watch, outside.get_id()).await);
        registry.shutdown().await;
    }
}

#[tokio::test]
async fn a_death_is_reported_with_its_reason() {
    each_death_is_reported_with_its_reason().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_is_reported_with_its_reason_on_several_threads() {
    each_death_is_reported_with_its_reason().await;
}

/// The watch begins when the actor already exists: its death is reported all the same.
#[tokio::test]
async fn the_death_of_an_actor_older_than_the_watch_is_reported_with_its_reason() {
    let (_registry, names) = test_registry().await;
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    names.register(&OTHER, &actor).await.unwrap();
    let mut all = watched(&names).await;
    let mut one = names.watch_service(&PROBE);
    assert_eq!(snapshot(&mut one).await, [("probe".to_owned(), actor.get_id())]);
    // The removal of another name of the same actor must not lose the reason.
    names.unregister(&OTHER);
    assert!(matches!(change(&mut all).await, NameChange::Unregistered { .. }));
    actor.kill();
    assert_eq!(died(&mut all, actor.get_id()).await, Some(ExitReason::Killed));
    assert_eq!(died(&mut one, actor.get_id()).await, Some(ExitReason::Killed));
}

#[tokio::test]
async fn a_death_is_reported_only_when_the_destructors_have_run() {
    let (_registry, names) = test_registry().await;
    let mut watch = watched(&names).await;
    let puppet = Puppet::default();
    let actor = names.spawn(&PROBE, puppet.actor(), ()).await.unwrap();
    registered(&mut watch, actor.get_id()).await;
    actor.kill();
    died(&mut watch, actor.get_id()).await;
    assert!(puppet.alive() == 0);
}

/// A watch that begins after the registry has the reason, and before the name is free, gets the end with the reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_death_is_reported_with_its_reason_to_a_watch_that_begins_during_it() {
    let (registry, names) = test_registry().await;
    let (begun, go_on) = (Gate::new(), std::sync::mpsc::channel::<()>());
    let destructor = {
        let (begun, go_on) = (begun.clone(), Mutex::new(go_on.1));
        move || {
            begun.open();
            // Other work that waits for this thread continues elsewhere.
            let _ = tokio::task::block_in_place(|| go_on.lock().unwrap().recv());
        }
    };
    let actor = names.spawn(&PROBE, Probe::default().on_drop(destructor), ()).await.unwrap();
    let mut before = watched(&names).await;
    actor.kill();
    begun.pass().await;
    // The registry reads exits before other requests: now it has read this one.
    registry.namespace(Namespace::test()).await.unwrap();
    let mut after = names.watch();
    assert_eq!(snapshot(&mut after).await, [("probe".to_owned(), actor.get_id())]);
    drop(go_on.0);
    for watch in [&mut before, &mut after] {
        assert_eq!(died(watch, actor.get_id()).await, Some(ExitReason::Killed));
    }
}

async fn a_restart_is_reported() {
    let (_registry, names) = test_registry().await;
    let mut watch = watched(&names).await;
    let actor = names.supervise(names.child_spec(&PROBE, || (Probe::default(), ()))).await.unwrap().unwrap();
    let mut latest = registered(&mut watch, actor.get_id()).await.actor;
    for restart in 1..=3 {
        names.lookup(&PROBE).unwrap().kill();
        assert_eq!(died(&mut watch, latest).await, Some(ExitReason::Killed));
        let NameChange::Replaced { previous, by } = change(&mut watch).await else { panic!("it is started again") };
        assert_eq!((previous, by.restarts), (latest, restart));
        assert_eq!(names.lookup(&PROBE).unwrap().get_id(), by.actor);
        latest = by.actor;
    }
}

#[tokio::test]
async fn a_restart_is_reported_as_a_death_and_a_replacement() {
    a_restart_is_reported().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_is_reported_as_a_death_and_a_replacement_on_several_threads() {
    a_restart_is_reported().await;
}

#[tokio::test]
async fn a_stop_by_its_supervisor_is_reported_as_a_death_by_shutdown() {
    let (_registry, names) = test_registry().await;
    let spec = names.child_spec(&PROBE, || (Probe::default(), ())).restart(Restart::Transient);
    let actor = names.supervise(spec).await.unwrap().unwrap();
    let mut watch = watched(&names).await;
    names.application().unwrap().terminate_child("probe").await.unwrap();
    assert_eq!(died(&mut watch, actor.get_id()).await, Some(ExitReason::Shutdown("shutdown".into())));
}

/// The reason is unknown, since its name is taken by another actor before the registry has read the exit.
#[tokio::test]
async fn a_death_without_a_known_reason_is_reported_before_the_next_registration() {
    let (_registry, names) = test_registry().await;
    let mut watch = watched(&names).await;
    let (first, second) = (foreign(Probe::default()).await, foreign(Probe::default()).await);
    names.register(&PROBE, &first).await.unwrap();
    registered(&mut watch, first.get_id()).await;
    // One thread: between the end and the next registration the registry has no turn.
    first.kill();
    first.wait(None).await.unwrap();
    names.register(&PROBE, &second).await.unwrap();
    let reason = died(&mut watch, first.get_id()).await;
    assert!(matches!(reason, None | Some(ExitReason::Killed)), "{reason:?}");
    registered(&mut watch, second.get_id()).await;
}

#[tokio::test]
async fn a_start_that_fails_is_no_change() {
    let (_registry, names) = test_registry().await;
    let mut watch = watched(&names).await;
    names.spawn(&PROBE, Probe::default().start(Behavior::Fail("no")), ()).await.unwrap_err();
    assert!(watch.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_watch_of_one_name_reports_no_other() {
    let (_registry, names) = test_registry().await;
    let mut watch = names.watch_service(&PROBE);
    assert!(snapshot(&mut watch).await.is_empty());
    let other = names.spawn(&OTHER, Probe::default(), ()).await.unwrap();
    other.kill_and_wait(None).await.unwrap();
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    registered(&mut watch, actor.get_id()).await;
}

#[tokio::test]
async fn watches_of_other_namespaces_report_nothing() {
    let (registry, names) = test_registry().await;
    let theirs = registry.namespace(Namespace::test()).await.unwrap();
    let mut watch = watched(&theirs).await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert!(watch.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_watch_ends_with_its_namespace_after_it_has_reported_every_end() {
    let (_registry, names) = test_registry().await;
    let mut watch = watched(&names).await;
    let mut mirror = Mirror::default();
    names.supervise(names.child_spec(&PROBE, || (Probe::default(), ()))).await.unwrap();
    names.spawn(&key("spawned"), Probe::default(), ()).await.unwrap();
    names.register(&OTHER, &foreign(Probe::default()).await).await.unwrap();
    names.cleanup().await.unwrap();
    while let Some(watched) = shown(&mut watch).await {
        if let Watched::Change(NameChange::Died { reason, .. }) = &watched {
            assert_eq!(*reason, Some(ExitReason::Shutdown("shutdown".into())), "{watched:?}");
        }
        mirror.believe(watched);
    }
    assert_eq!((mirror.changes, mirror.has.len()), (6, 0));
    assert_eq!(shown(&mut watch).await, None, "and stays at its end");
    // A watch that begins too late gets an empty snapshot, and ends.
    let mut late = names.watch();
    assert!(snapshot(&mut late).await.is_empty());
    assert_eq!(shown(&mut late).await, None);
}

#[tokio::test]
async fn all_watches_end_when_the_registry_is_shut_down() {
    let registry = ProcessRegistry::start().await.unwrap();
    let names = registry.namespace(Namespace::Production).await.unwrap();
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let (all, one) = (names.watch(), names.watch_service(&PROBE));
    let read = |watch: Watch| tokio::spawn(watch.collect::<Vec<_>>());
    let (all, one) = (read(all), read(one));
    registry.shutdown().await;
    for seen in [all.await.unwrap(), one.await.unwrap()] {
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert!(matches!(seen[1], Watched::Change(NameChange::Died { .. })), "{seen:?}");
    }
}

#[tokio::test]
async fn a_slow_reader_gets_the_number_of_missed_changes_and_a_snapshot() {
    let (_registry, names) = test_registry().await;
    let (mut slow, mut fast) = (names.watch().capacity(4), names.watch());
    let (mut mirror, mut exact) = (Mirror::default(), Mirror::default());
    let actor = foreign(Probe::default()).await;
    for n in 0..10 {
        names.register(&key(format!("name_{n}")), &actor).await.unwrap();
    }
    mirror.believe(shown(&mut slow).await.unwrap());
    let lagged = shown(&mut slow).await.unwrap();
    let Watched::Lagged { missed, snapshot } = &lagged else { panic!("{lagged:?}") };
    assert_eq!((*missed, snapshot.len()), (10, 10));
    mirror.believe(lagged);
    assert!(slow.next().now_or_never().is_none(), "what the snapshot shows is not reported again");
    // It continues from there.
    names.unregister(&key::<Command>("name_3"));
    mirror.believe(shown(&mut slow).await.unwrap());
    for _ in 0..12 {
        exact.believe(shown(&mut fast).await.unwrap());
    }
    assert_eq!(mirror.has, exact.has);
    assert_eq!((mirror.lagged, exact.lagged), (1, 0), "a reader that keeps up is not affected");
}

#[tokio::test]
async fn changes_within_the_capacity_are_not_lost() {
    let (_registry, names) = test_registry().await;
    let mut watch = names.watch().capacity(0);
    snapshot(&mut watch).await;
    let actor = foreign(Probe::default()).await;
    names.register(&PROBE, &actor).await.unwrap();
    registered(&mut watch, actor.get_id()).await;
}

#[tokio::test]
async fn no_registration_waits_for_a_watch_that_is_not_read() {
    let (_registry, names) = test_registry().await;
    let unread: Vec<_> = (0..10).map(|n| names.watch().capacity(1 + n)).collect();
    let actor = foreign(Probe::default()).await;
    for _ in 0..5_000 {
        names.register(&PROBE, &actor).now_or_never().expect("it does not wait").unwrap();
        assert!(names.unregister(&PROBE));
    }
    drop(unread);
}

#[tokio::test]
async fn a_watch_that_is_dropped_changes_nothing_for_the_others() {
    let (_registry, names) = test_registry().await;
    let (first, mut second) = (names.watch(), watched(&names).await);
    let third = names.watch_service(&PROBE);
    drop((first, third));
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    registered(&mut second, actor.get_id()).await;
    drop(second);
    actor.kill_and_wait(None).await.unwrap();
    assert!(snapshot(&mut names.watch()).await.is_empty());
}

#[tokio::test]
async fn a_cancelled_read_of_a_watch_loses_nothing() {
    let (_registry, names) = test_registry().await;
    let mut watch = watched(&names).await;
    assert!(watch.next().now_or_never().is_none());
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    registered(&mut watch, actor.get_id()).await;
}

#[tokio::test]
async fn a_watch_is_a_stream() {
    let (_registry, names) = test_registry().await;
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let seen: Vec<_> = StreamExt::take(names.watch(), 1).collect().await;
    let [Watched::Snapshot(services)] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(holders(services), [("probe".to_owned(), actor.get_id())]);
}

#[tokio::test]
async fn an_update_of_metadata_and_a_hand_over_are_reported() {
    let (_registry, names) = test_registry().await;
    let mut watch = watched(&names).await;
    let zone = |zone: &str| Metadata::new(zone).unwrap();
    let first = names.with_metadata(zone("eu")).spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert_eq!(registered(&mut watch, first.get_id()).await.metadata, Some(zone("eu")));
    names.update_metadata(&PROBE, &first, |_| Some(zone("us"))).unwrap();
    let NameChange::Updated(service) = change(&mut watch).await else { panic!("an update") };
    assert_eq!((service.actor, service.metadata), (first.get_id(), Some(zone("us"))));

    let second = foreign(Probe::default()).await;
    names.hand_over(&PROBE, &second).unwrap();
    let NameChange::HandedOver { from, to } = change(&mut watch).await else { panic!("a hand-over") };
    assert_eq!((from, to.actor, to.metadata), (first.get_id(), second.get_id(), Some(zone("us"))));
    // The end of the old holder is no longer a change of the name.
    first.kill_and_wait(None).await.unwrap();
    second.stop(None);
    assert_eq!(died(&mut watch, second.get_id()).await, Some(ExitReason::Normal));
}

#[tokio::test]
async fn all_watches_report_in_the_same_order() {
    let (_registry, names) = test_registry().await;
    let mut watches = [watched(&names).await, watched(&names).await];
    let actor = foreign(Probe::default()).await;
    for n in [5, 3, 8, 1] {
        names.register(&key(format!("name_{n}")), &actor).await.unwrap();
    }
    for watch in &mut watches {
        for n in [5, 3, 8, 1] {
            assert_eq!(change(watch).await.name().as_str(), format!("name_{n}"));
        }
    }
}

#[tokio::test]
async fn a_change_has_a_readable_text() {
    let (_registry, names) = test_registry().await;
    let mut watch = watched(&names).await;
    let (first, second) = (foreign(Probe::default()).await, foreign(Probe::default()).await);
    let (a, b): (ActorId, ActorId) = (first.get_id(), second.get_id());
    names.register(&PROBE, &first).await.unwrap();
    names.hand_over(&PROBE, &second).unwrap();
    names.update_metadata(&PROBE, &second, |_| Metadata::new(&1).ok()).unwrap();
    names.unregister(&PROBE);
    names.register(&PROBE, &first).await.unwrap();
    first.kill();
    let mut lines = Vec::new();
    for _ in 0..6 {
        lines.push(change(&mut watch).await.to_string());
    }
    assert_eq!(
        lines,
        [
            format!("probe registered by actor {a}"),
            format!("probe handed over by actor {a} to {b}"),
            format!("probe described anew by actor {b}"),
            format!("probe taken from actor {b}"),
            format!("probe registered by actor {a}"),
            format!("probe: actor {a} ended: killed"),
        ]
    );
}

#[tokio::test]
async fn a_watch_keeps_at_least_one_change_and_1_024_by_default() {
    let (_registry, names) = test_registry().await;
    let actor = foreign(Probe::default()).await;
    let mut least = names.watch().capacity(0);
    snapshot(&mut least).await;
    names.register(&PROBE, &actor).await.unwrap();
    registered(&mut least, actor.get_id()).await;
    assert!(names.unregister(&PROBE));
    names.register(&PROBE, &actor).await.unwrap();
    let lagged = least.next().await;
    assert!(matches!(lagged, Some(Watched::Lagged { .. })), "{lagged:?}");

    for (changes, is_lost) in [(1_024, false), (1_026, true)] {
        let mut watch = watched(&names).await;
        for _ in 0..changes / 2 {
            assert!(names.unregister(&PROBE));
            names.register(&PROBE, &actor).await.unwrap();
        }
        let next = watch.next().await;
        assert_eq!(matches!(next, Some(Watched::Lagged { .. })), is_lost, "{changes}: {next:?}");
    }
}

#[tokio::test]
async fn a_watch_of_one_name_begins_whether_it_is_held_or_not() {
    let (_registry, names) = test_registry().await;
    assert!(snapshot(&mut names.watch_service(&PROBE)).await.is_empty());
    let held = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    names.spawn(&OTHER, Probe::default(), ()).await.unwrap();
    assert_eq!(snapshot(&mut names.watch_service(&PROBE)).await, [("probe".to_owned(), held.get_id())]);
}

/// Notes its number when it wakes.
struct NumberedWaker(usize, std::sync::Arc<Mutex<Vec<usize>>>);

impl std::task::Wake for NumberedWaker {
    fn wake(self: std::sync::Arc<Self>) {
        self.1.lock().unwrap().push(self.0);
    }
}

/// So a reader of one watch finds in an earlier one what it has seen.
#[tokio::test]
async fn watches_are_notified_in_the_order_in_which_they_were_made_whichever_have_left() {
    let (_registry, names) = test_registry().await;
    let mut of_one = names.watch_service(&PROBE);
    let mut watches = Vec::new();
    for _ in 0..5 {
        watches.push(names.watch());
    }
    drop(watches.remove(1));
    let woken = std::sync::Arc::default();
    for (number, watch) in std::iter::once(&mut of_one).chain(&mut watches).enumerate() {
        let waker = std::task::Waker::from(std::sync::Arc::new(NumberedWaker(number, std::sync::Arc::clone(&woken))));
        let mut context = std::task::Context::from_waker(&waker);
        while watch.poll_next_unpin(&mut context).is_ready() {}
    }
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert_eq!(*woken.lock().unwrap(), [1, 2, 3, 4, 0], "that of one name is the last");
}

#[tokio::test]
async fn a_watch_of_ends_at_once_shows_the_present_holder_when_its_registration_has_returned() {
    let (_registry, names) = test_registry().await;
    let mut watch = names.watch().ends_at_once();
    snapshot(&mut watch).await;
    for _ in 0..50 {
        let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
        let mut last = None;
        while let Some(Some(Watched::Change(change))) = watch.next().now_or_never() {
            last = change.service().map(|service| service.actor);
        }
        assert_eq!(last, Some(actor.get_id()));
        actor.stop_and_wait(None, None).await.unwrap();
    }
}
