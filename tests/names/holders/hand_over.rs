//! Taking names over, and handing them over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foundation::Restart;
use foundation::names::{Metadata, RegistryError};
use foundation::ractor::{Actor, ActorRef, ActorStatus};
use foundation_testkit::{Behavior, Command, Gate, Probe, SOON, assert_error, test_registry};
use futures::FutureExt;
use tokio::time::timeout;

use crate::setup::{Lamp, LampMsg, OTHER, PROBE, count, foreign, key, names_in};

#[tokio::test]
async fn a_name_that_is_handed_over_belongs_to_the_new_holder() {
    let (registry, names) = test_registry().await;
    let zone = Metadata::new("eu").unwrap();
    let first = names.with_metadata(zone.clone()).spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let mut via = names.via(&PROBE);
    via.cast(Command::Note("to the first")).unwrap();
    let second = foreign(Probe::default()).await;

    names.hand_over(&PROBE, &second).unwrap();
    assert_eq!(names.lookup(&PROBE).unwrap().get_id(), second.get_id());
    via.cast(Command::Note("to the second")).unwrap();
    assert_eq!(via.call(Command::Notes, SOON).await.unwrap(), ["to the second"]);
    assert_eq!(via.refresh().actor_ref().unwrap().get_id(), second.get_id());
    assert_eq!(names.metadata(&PROBE).unwrap(), Some(zone), "what was said of the name goes along");
    names.update_metadata(&PROBE, &first, |_| None).unwrap_err();
    names.update_metadata(&PROBE, &second, |_| Metadata::new("us").ok()).unwrap();

    // The old holder lives on, and its end does nothing to the name.
    assert!(first.get_status() < ActorStatus::Draining);
    first.kill_and_wait(None).await.unwrap();
    names.spawn(&OTHER, Probe::default(), ()).await.unwrap();
    assert_eq!(names.lookup(&PROBE).unwrap().get_id(), second.get_id());
    // The new holder's end frees it.
    second.stop_and_wait(None, None).await.unwrap();
    names.wait_until_free(&PROBE, SOON).await.unwrap();
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert_eq!(registry.stats().total, 2);
    assert_eq!((count(&names, "registry.registrations"), count(&names, "registry.releases")), (4, 2));
}

#[tokio::test]
async fn a_name_can_be_handed_over_several_times_and_back() {
    let (registry, names) = test_registry().await;
    let ours = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let theirs = foreign(Probe::default()).await;
    for _ in 0..3 {
        names.hand_over(&PROBE, &theirs).unwrap();
        assert_eq!(names.lookup(&PROBE).unwrap().get_id(), theirs.get_id());
        names.hand_over(&PROBE, &ours).unwrap();
        assert_eq!(names.lookup(&PROBE).unwrap().get_id(), ours.get_id());
    }
    theirs.kill_and_wait(None).await.unwrap();
    assert!(names.is_registered(&PROBE));
    ours.kill_and_wait(None).await.unwrap();
    names.wait_until_free(&PROBE, SOON).await.unwrap();
    assert_eq!(registry.stats().total, 0);
}

/// An actor that has a name of its own keeps it, and both are released when it ends.
#[tokio::test]
async fn a_managed_actor_may_get_the_name_of_another() {
    let (registry, names) = test_registry().await;
    let outside = foreign(Probe::default()).await;
    names.register(&PROBE, &outside).await.unwrap();
    let ours = names.spawn(&OTHER, Probe::default(), ()).await.unwrap();
    names.hand_over(&PROBE, &ours).unwrap();
    assert_eq!(names_in(&names), ["other", "probe"]);
    outside.kill_and_wait(None).await.unwrap();
    assert_eq!(names_in(&names), ["other", "probe"]);
    ours.kill_and_wait(None).await.unwrap();
    names.wait_until_free(&PROBE, SOON).await.unwrap();
    names.wait_until_free(&OTHER, SOON).await.unwrap();
    assert_eq!(registry.stats().total, 0);
}

#[tokio::test]
async fn a_name_is_not_handed_over_to_an_actor_that_has_ended_or_is_leaving() {
    let (_registry, names) = test_registry().await;
    let holder = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let gate = Gate::new();
    let (dead, leaving) =
        (foreign(Probe::default()).await, foreign(Probe::default().stop(Behavior::Wait(gate.clone()))).await);
    dead.kill_and_wait(None).await.unwrap();
    leaving.stop(None);
    gate.arrival().await;
    for to in [dead, leaving] {
        let refused = names.hand_over(&PROBE, &to).unwrap_err();
        let text = format!("actor {} cannot be registered as probe: it has ended, or is about to", to.get_id());
        assert_eq!(refused.to_string(), text);
        assert_eq!(names.lookup(&PROBE).unwrap().get_id(), holder.get_id(), "nothing is lost");
    }
    gate.open();
    assert_eq!((count(&names, "registry.registrations"), count(&names, "registry.releases")), (1, 0));
}

#[tokio::test]
async fn a_name_is_not_handed_over_to_its_holder() {
    let (_registry, names) = test_registry().await;
    for managed in [true, false] {
        let holder = match managed {
            true => names.spawn(&PROBE, Probe::default(), ()).await.unwrap(),
            false => foreign(Probe::default()).await,
        };
        if !managed {
            names.register(&PROBE, &holder).await.unwrap();
        }
        let refused = names.hand_over(&PROBE, &holder).unwrap_err();
        let RegistryError::AlreadyRegistered { holder: found, .. } = &refused else { panic!("{refused}") };
        assert_eq!(*found, Some(holder.get_id()));
        assert!(names.is_registered(&PROBE));
        // It is still watched: its end frees the name.
        holder.kill_and_wait(None).await.unwrap();
        names.wait_until_free(&PROBE, SOON).await.unwrap();
    }
}

#[tokio::test]
async fn a_free_name_cannot_be_handed_over() {
    let (registry, names) = test_registry().await;
    let to = foreign(Probe::default()).await;
    let refused = names.hand_over(&PROBE, &to).unwrap_err();
    assert!(matches!(refused, RegistryError::NotFound { .. }), "{refused}");
    // Nor a name whose holder is leaving: it releases the name, and not to a particular actor.
    let gate = Gate::new();
    let leaving = names.spawn(&PROBE, Probe::default().stop(Behavior::Wait(gate.clone())), ()).await.unwrap();
    leaving.stop(None);
    gate.arrival().await;
    let refused = names.hand_over(&PROBE, &to).unwrap_err();
    assert!(matches!(refused, RegistryError::NotFound { .. }), "{refused}");
    gate.open();
    names.wait_until_free(&PROBE, SOON).await.unwrap();
    assert_eq!(registry.stats().total, 0);
}

#[tokio::test]
async fn a_name_is_handed_over_only_between_actors_of_one_message_type() {
    let (_registry, names) = test_registry().await;
    let holder = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let (lamp, _task) = Actor::spawn(None, Lamp, ()).await.unwrap();
    let mistaken = ActorRef::<Command>::from(lamp.get_cell());
    let refused = names.hand_over(&PROBE, &mistaken).unwrap_err();
    assert!(matches!(refused, RegistryError::WrongReference { .. }), "{refused}");
    let refused = names.hand_over(&key::<LampMsg>("probe"), &lamp).unwrap_err();
    assert!(matches!(refused, RegistryError::WrongType { .. }), "{refused}");
    assert_eq!(names.lookup(&PROBE).unwrap().get_id(), holder.get_id());
}

#[tokio::test]
async fn no_name_is_handed_over_in_a_namespace_that_is_gone() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    names.cleanup().await.unwrap();
    assert_error!(names.hand_over(&PROBE, &foreign(Probe::default()).await), RegistryError::NotFound { .. });
}

/// A child that wants its name back while another has it is refused, and says why.
#[tokio::test]
async fn a_child_that_gave_its_name_away_does_not_get_it_back_while_another_has_it() {
    let (_registry, names) = test_registry().await;
    let spec = names.child_spec(&PROBE, || (Probe::default(), ())).restart(Restart::Temporary);
    let child = names.supervise(spec).await.unwrap().unwrap();
    let other = foreign(Probe::default()).await;
    names.hand_over(&PROBE, &other).unwrap();
    child.kill_and_wait(None).await.unwrap();
    let spec = names.child_spec(&PROBE, || (Probe::default(), ()));
    let refused = names.supervise(spec).await.unwrap_err();
    assert!(refused.to_string().contains(&format!("already registered by actor {}", other.get_id())), "{refused}");
}

/// While a name goes back and forth, every lookup finds a holder and no message is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_lookup_during_a_hand_over_finds_a_holder() {
    let (_registry, names) = test_registry().await;
    // Other names beside it, so that it moves in the table.
    for n in 0..200 {
        names.register(&key(format!("name_{n}")), &foreign(Probe::default()).await).await.unwrap();
    }
    let one = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let two = foreign(Probe::default()).await;
    let over = Arc::new(AtomicBool::new(false));
    let looking: Vec<_> = (0..2)
        .map(|_| {
            let (names, over) = (names.clone(), Arc::clone(&over));
            std::thread::spawn(move || {
                let via = names.via(&PROBE);
                let mut looks = 0;
                while !over.load(Ordering::Relaxed) {
                    names.lookup(&PROBE).unwrap();
                    assert!(names.is_registered(&PROBE));
                    assert!(via.is_alive());
                    looks += 1;
                }
                looks
            })
        })
        .collect();
    for n in 0..4_000 {
        names.hand_over(&PROBE, if n % 2 == 0 { &two } else { &one }).unwrap();
    }
    over.store(true, Ordering::Relaxed);
    for looking in looking {
        assert!(looking.join().unwrap() > 0);
    }
}

/// Whichever dies first: the new holder has the name, or the name is free when the new holder is dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_between_two_actors_that_die_leaves_no_name_behind() {
    let (registry, names) = test_registry().await;
    for n in 0..300 {
        let from = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
        let to = foreign(Probe::default()).await;
        let (dying, other) = if n % 2 == 0 { (from.clone(), to.clone()) } else { (to.clone(), from.clone()) };
        let killing = tokio::spawn(async move { dying.kill_and_wait(None).await.unwrap() });
        let handed = names.hand_over(&PROBE, &to);
        killing.await.unwrap();
        let expected = if n % 2 == 0 { handed.is_ok() } else { handed.is_err() };
        if let Ok(holder) = names.lookup(&PROBE) {
            assert!(expected && holder.get_id() == other.get_id(), "{handed:?}");
        }
        other.kill_and_wait(None).await.unwrap();
        names.wait_until_free(&PROBE, SOON).await.unwrap();
    }
    registry.shutdown().await;
}

// ---- waiting until a name is free ----

#[tokio::test]
async fn a_name_is_free_when_its_holder_is_gone() {
    let (_registry, names) = test_registry().await;
    names.wait_until_free(&PROBE, SOON).now_or_never().expect("the name is free").unwrap();
    let gate = Gate::new();
    let holder = names.spawn(&PROBE, Probe::default().stop(Behavior::Wait(gate.clone())), ()).await.unwrap();
    let mut waiting = Box::pin(names.wait_until_free(&PROBE, SOON));
    assert!((&mut waiting).now_or_never().is_none());
    holder.stop(None);
    gate.arrival().await;
    assert!((&mut waiting).now_or_never().is_none(), "its post_stop is still at work");
    gate.open();
    waiting.await.unwrap();
    names.spawn(&PROBE, Probe::default(), ()).now_or_never();
}

#[tokio::test]
async fn a_name_is_free_when_it_is_unregistered_or_its_foreign_holder_ends() {
    let (_registry, names) = test_registry().await;
    let holder = foreign(Probe::default()).await;
    names.register(&PROBE, &holder).await.unwrap();
    let mut waiting = Box::pin(names.wait_until_free(&PROBE, SOON));
    assert!((&mut waiting).now_or_never().is_none());
    names.unregister(&PROBE);
    (&mut waiting).now_or_never().expect("it is free").unwrap();
    drop(waiting);

    names.register(&PROBE, &holder).await.unwrap();
    let waiting = tokio::spawn({
        let names = names.clone();
        async move { names.wait_until_free(&PROBE, None).await }
    });
    holder.kill();
    waiting.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_name_that_times_out_names_the_holder() {
    let (_registry, names) = test_registry().await;
    let holder = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let refused = names.wait_until_free(&PROBE, Duration::from_millis(20)).await.unwrap_err();
    let text = format!(
        "service probe in namespace {} is still held by actor {} after 20ms",
        names.namespace(),
        holder.get_id()
    );
    assert_eq!(refused.to_string(), text);
    let waiting = names.wait_until_free(&PROBE, None);
    assert!(timeout(Duration::from_secs(24 * 3_600), waiting).await.is_err(), "a wait without a limit has none");
}

#[tokio::test]
async fn a_wait_for_a_name_ends_with_its_namespace() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let mut waiting = Box::pin(names.wait_until_free(&PROBE, SOON));
    assert!((&mut waiting).now_or_never().is_none());
    names.cleanup().await.unwrap();
    assert!(matches!(waiting.await, Ok(()) | Err(RegistryError::NotRunning { .. })));
}
