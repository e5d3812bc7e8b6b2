//! Two incarnations of a name never overlap: a name is free when its holder is gone, `post_stop` and destructors
//! included, however it ended and whichever way the name is claimed next.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use foundation::names::{ProcessRegistry, RegistryError, ServiceRegistry};
use foundation::ractor::{Actor, ActorRef};
use foundation::supervision::{ChildEvent, NameTaken, Report, Reporter};
use foundation::{ChildSpec, Namespace, Restart};
use foundation_testkit::{Behavior, Command, Gate, Probe, Puppet, SOON, assert_error, test_registry};
use futures::FutureExt;
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::ending::Ending;
use crate::setup::{OTHER, PROBE, foreign, names_in};

/// A probe with a slow destructor, so that another thread has every chance to come too early.
fn slow_to_drop(probe: Probe) -> Probe {
    probe.on_drop(|| (0..50).for_each(|_| std::thread::yield_now()))
}

/// A child that never ends by itself, whatever its first incarnation did.
fn child(names: &ServiceRegistry, puppet: &Puppet) -> ChildSpec {
    let puppet = puppet.clone();
    names.child_spec(&PROBE, move || (slow_to_drop(puppet.actor()), ())).restart(Restart::Temporary)
}

/// Tries again until the holder has noticed that it is to end: until then it lives, and a claim is
/// refused. No event marks that moment; from then on the claim itself waits.
macro_rules! insist {
    ($claim:expr) => {
        loop {
            match $claim.await {
                Ok(done) => break done,
                Err(error) if error.to_string().contains("already registered") => yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
}

async fn first(names: &ServiceRegistry, ending: Ending, puppet: &Puppet) -> ActorRef<Command> {
    let gate = Gate::new();
    let actor = names.spawn(&PROBE, slow_to_drop(ending.probe(puppet, &gate)), ()).await.unwrap();
    ending.bring_about(&actor, &gate).await;
    actor
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_incarnations_overlap_when_the_next_is_spawned() {
    for ending in Ending::ALL.repeat(20) {
        let (_registry, names) = test_registry().await;
        let puppet = Puppet::default();
        first(&names, ending, &puppet).await;
        insist!(names.spawn(&PROBE, slow_to_drop(puppet.actor()), ()));
        assert_eq!(puppet.lives(), 2, "{ending:?}");
        assert_eq!(puppet.overlaps(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_incarnations_overlap_when_the_next_is_supervised() {
    for ending in Ending::ALL.repeat(20) {
        let (_registry, names) = test_registry().await;
        let puppet = Puppet::default();
        first(&names, ending, &puppet).await;
        insist!(names.supervise(child(&names, &puppet)));
        assert_eq!(puppet.lives(), 2, "{ending:?}");
        assert_eq!(puppet.overlaps(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_incarnations_overlap_when_the_next_is_registered() {
    for ending in Ending::ALL.repeat(20) {
        let (_registry, names) = test_registry().await;
        let puppet = Puppet::default();
        let outside = foreign(Probe::default()).await;
        first(&names, ending, &puppet).await;
        insist!(names.register(&PROBE, &outside));
        assert!(puppet.alive() == 0, "{ending:?}: it is registered while the first one is still there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_incarnations_overlap_when_the_supervisor_restarts() {
    for ending in Ending::ALL.repeat(20) {
        let (_registry, names) = test_registry().await;
        let (puppet, gate) = (Puppet::default(), Gate::new());
        let (on, at) = (puppet.clone(), gate.clone());
        let spec = names.child_spec(&PROBE, move || (slow_to_drop(ending.probe(&on, &at)), ()));
        let actor = names.supervise(spec).await.unwrap().unwrap();
        ending.bring_about(&ActorRef::from(actor), &gate).await;
        puppet.lived(2).await;
        assert_eq!(puppet.overlaps(), 0);
    }
}

#[tokio::test]
async fn a_transient_child_is_restarted_after_an_abnormal_end_and_releases_its_name_after_a_normal_one() {
    for ending in Ending::ALL {
        let (_registry, names) = test_registry().await;
        let (puppet, gate) = (Puppet::default(), Gate::new());
        let (on, at) = (puppet.clone(), gate.clone());
        let spec = names.child_spec(&PROBE, move || (ending.probe(&on, &at), ())).restart(Restart::Transient);
        let actor = names.supervise(spec).await.unwrap().unwrap();
        ending.bring_about(&ActorRef::from(actor), &gate).await;
        puppet.ended(1).await;
        if ending.is_abnormal() {
            names.wait_for_service(&PROBE, SOON).await.unwrap();
        } else {
            // All the work of the supervisor is done when it answers.
            assert_eq!(names.application().unwrap().count_children().await.unwrap().active, 0, "{ending:?}");
            assert!(!names.is_registered(&PROBE), "{ending:?}");
        }
    }
}

// ---- the claim waits for the leaving holder ----

#[tokio::test]
async fn a_claim_waits_until_post_stop_has_run() {
    let (_registry, names) = test_registry().await;
    let (puppet, gate) = (Puppet::default(), Gate::new());
    let old = names.spawn(&PROBE, puppet.actor().stop(Behavior::Wait(gate.clone())), ()).await.unwrap();
    old.stop(None);
    gate.arrival().await;

    let mut next = std::pin::pin!(names.spawn(&PROBE, puppet.actor(), ()));
    assert!((&mut next).now_or_never().is_none(), "the name is still the old one's");
    assert_error!(names.lookup(&PROBE), RegistryError::NotFound { .. }, "but no lookup finds it");
    gate.open();
    let new = next.await.unwrap();
    assert_eq!(names.lookup(&PROBE).unwrap().get_id(), new.get_id());
    assert_eq!(puppet.overlaps(), 0);
}

/// The destructor blocks its thread, so it is certainly not done when the claim is made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_waits_until_the_destructors_have_run() {
    for ending in Ending::ALL {
        let (_registry, names) = test_registry().await;
        let (puppet, gate) = (Puppet::default(), Gate::new());
        let (dropping, mut in_drop) = tokio::sync::mpsc::unbounded_channel();
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        let held = std::sync::Mutex::new(held);
        let probe = ending.probe(&puppet, &gate).on_drop(move || {
            dropping.send(()).unwrap();
            held.lock().unwrap().recv().unwrap();
        });
        let old = names.spawn(&PROBE, probe, ()).await.unwrap();
        ending.bring_about(&old, &gate).await;
        in_drop.recv().await.unwrap();

        let mut next = Box::pin(names.spawn(&PROBE, puppet.actor(), ()));
        assert!((&mut next).now_or_never().is_none(), "{ending:?}: free before the destructor has run");
        let_go.send(()).unwrap();
        next.await.unwrap();
        assert_eq!(puppet.overlaps(), 0);
    }
}

#[tokio::test]
async fn a_claim_waits_for_a_foreign_holder_that_leaves() {
    let (_registry, names) = test_registry().await;
    let (puppet, gate) = (Puppet::default(), Gate::new());
    let old = foreign(puppet.actor().stop(Behavior::Wait(gate.clone()))).await;
    names.register(&PROBE, &old).await.unwrap();
    old.stop(None);
    gate.arrival().await;
    let mut next = std::pin::pin!(names.spawn(&PROBE, puppet.actor(), ()));
    assert!((&mut next).now_or_never().is_none());
    gate.open();
    next.await.unwrap();
    assert_eq!(puppet.overlaps(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_bounded_and_its_error_names_the_holder() {
    let (_registry, names) = test_registry().await;
    let gate = Gate::new();
    let old = names.spawn(&PROBE, Probe::default().stop(Behavior::Wait(gate.clone())), ()).await.unwrap();
    old.stop(None);
    gate.arrival().await;

    let begun = Instant::now();
    let refused = names.spawn(&PROBE, Probe::default(), ()).await.unwrap_err();
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    assert!(matches!(refused, RegistryError::StillLeaving { holder, .. } if holder == Some(old.get_id())), "{refused}");
    let text = format!(
        "service probe in namespace {} is being left by actor {}, which was not gone after 5s",
        names.namespace(),
        old.get_id()
    );
    assert_eq!(refused.to_string(), text);

    gate.open();
    names.spawn(&PROBE, Probe::default(), ()).await.expect("nothing is left of the claim that failed");
}

#[tokio::test]
async fn only_one_of_many_claims_gets_the_name_of_a_leaving_holder() {
    let (_registry, names) = test_registry().await;
    let (puppet, gate) = (Puppet::default(), Gate::new());
    let old = names.spawn(&PROBE, puppet.actor().stop(Behavior::Wait(gate.clone())), ()).await.unwrap();
    old.stop(None);
    gate.arrival().await;
    let claims: Vec<_> = (0..100)
        .map(|_| {
            let (names, puppet) = (names.clone(), puppet.clone());
            tokio::spawn(async move { names.spawn(&PROBE, puppet.actor(), ()).await })
        })
        .collect();
    yield_now().await;
    gate.open();
    let results = futures::future::join_all(claims).await;
    assert_eq!(results.iter().filter(|result| result.as_ref().unwrap().is_ok()).count(), 1);
    assert_eq!(puppet.lives(), 2);
    assert_eq!(puppet.overlaps(), 0);
}

#[tokio::test]
async fn a_claim_that_is_cancelled_while_it_waits_leaves_nothing() {
    let (registry, names) = test_registry().await;
    let gate = Gate::new();
    let old = names.spawn(&PROBE, Probe::default().stop(Behavior::Wait(gate.clone())), ()).await.unwrap();
    old.stop(None);
    gate.arrival().await;
    assert!(names.spawn(&PROBE, Probe::default(), ()).now_or_never().is_none());
    gate.open();
    old.wait(None).await.unwrap();
    assert_eq!(registry.stats().total, 0);
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
}

/// ractor sends an actor's state along with the event of its end. The name must not wait until that is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_free_before_the_supervisor_has_read_the_exit() {
    struct HeldUp {
        arrived: tokio::sync::mpsc::UnboundedSender<()>,
        let_go: Mutex<mpsc::Receiver<()>>,
    }

    impl Reporter for HeldUp {
        fn report(&self, report: &Report) {
            if matches!(report.happened, ChildEvent::Exited { .. }) {
                self.arrived.send(()).unwrap();
                self.let_go.lock().unwrap().recv().unwrap();
            }
        }
    }

    let (arrived, mut is_held_up) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, let_go) = mpsc::channel();
    let reporter = HeldUp { arrived, let_go: Mutex::new(let_go) };
    let registry = ProcessRegistry::builder().reporter(reporter).start().await.unwrap();
    let names = registry.namespace(Namespace::test()).await.unwrap();
    let spec = names.child_spec(&OTHER, || (Probe::default(), ())).restart(Restart::Temporary);
    let child = names.supervise(spec).await.unwrap().unwrap();
    let old = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    child.stop(None);
    is_held_up.recv().await.unwrap();

    old.stop_and_wait(None, None).await.unwrap();
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    go_on.send(()).unwrap();
}

// ---- from the claim to the visible name ----

#[tokio::test]
async fn a_name_is_not_visible_before_the_start_has_finished() {
    let (_registry, names) = test_registry().await;
    let gate = Gate::new();
    let mut spawning = std::pin::pin!(names.spawn(&PROBE, Probe::default().start(Behavior::Wait(gate.clone())), ()));
    assert!((&mut spawning).now_or_never().is_none());
    gate.arrival().await;
    assert_error!(names.lookup(&PROBE), RegistryError::NotFound { .. });
    assert!(!names.is_registered(&PROBE));
    assert!(!names.via(&PROBE).is_alive());
    assert_eq!((names_in(&names).len(), names.service_info().total()), (0, 0));
    assert!(!names.unregister(&PROBE), "nor can it be taken away");

    let refused = names.spawn(&PROBE, Probe::default(), ()).await.unwrap_err();
    assert!(matches!(refused, RegistryError::AlreadyRegistered { holder: None, .. }), "{refused}");
    let text = format!(
        "service probe in namespace {} is already registered by an actor that is being started",
        names.namespace()
    );
    assert_eq!(refused.to_string(), text);

    gate.open();
    spawning.await.unwrap();
    assert!(names.is_registered(&PROBE));
}

#[tokio::test]
async fn a_start_that_fails_releases_the_name() {
    for start in [Behavior::Fail("no"), Behavior::Panic("no")] {
        let (registry, names) = test_registry().await;
        let puppet = Puppet::default();
        let failed = names.spawn(&PROBE, puppet.actor().start(start.clone()), ()).await.unwrap_err();
        assert!(matches!(failed, RegistryError::Start { .. }), "{failed}");
        assert_eq!(registry.stats().total, 0);
        let spec = names.child_spec(&PROBE, move || (Probe::default().start(start.clone()), ()));
        names.supervise(spec).await.unwrap_err();
        assert_eq!(registry.stats().total, 0);
        names.spawn(&PROBE, puppet.actor(), ()).await.unwrap();
        assert_eq!(puppet.overlaps(), 0);
    }
}

#[tokio::test]
async fn a_start_that_is_cancelled_releases_the_name() {
    let (registry, names) = test_registry().await;
    let (puppet, gate) = (Puppet::default(), Gate::new());
    let hanging = puppet.actor().start(Behavior::Wait(gate.clone()));
    assert!(names.spawn(&PROBE, hanging, ()).now_or_never().is_none(), "it hangs in its start, and is dropped there");
    assert_eq!(puppet.lives(), 1);
    assert!(puppet.alive() == 0);
    assert_eq!(registry.stats().total, 0);
    names.spawn(&PROBE, puppet.actor(), ()).await.unwrap();
}

#[tokio::test]
async fn a_start_whose_task_is_aborted_releases_the_name() {
    let (_registry, names) = test_registry().await;
    let (puppet, gate) = (Puppet::default(), Gate::new());
    let hanging = puppet.actor().start(Behavior::Wait(gate.clone()));
    let starter = tokio::spawn({
        let names = names.clone();
        async move { names.spawn(&PROBE, hanging, ()).await }
    });
    gate.arrival().await;
    starter.abort();
    assert!(starter.await.unwrap_err().is_cancelled());
    names.spawn(&PROBE, puppet.actor(), ()).await.unwrap();
    assert_eq!(puppet.overlaps(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_takes_too_long_under_a_supervisor_releases_the_name() {
    let (_registry, names) = test_registry().await;
    let (puppet, gate) = (Puppet::default(), Gate::new());
    let (on, at) = (puppet.clone(), gate.clone());
    let spec = names
        .child_spec(&PROBE, move || (on.actor().start(Behavior::Wait(at.clone())), ()))
        .start_timeout(Duration::from_secs(1));
    let failed = names.supervise(spec).await.unwrap_err();
    assert!(failed.to_string().contains("the start did not finish within 1s"), "{failed}");
    names.spawn(&PROBE, puppet.actor(), ()).await.unwrap();
    assert_eq!(puppet.overlaps(), 0);
}

#[tokio::test]
async fn an_actor_that_ends_at_once_does_not_keep_its_name() {
    /// Stops itself before it can receive a message.
    struct Mayfly;

    #[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
    impl Actor for Mayfly {
        type Msg = Command;
        type State = ();
        type Arguments = ();

        async fn pre_start(
            &self,
            myself: ActorRef<Command>,
            (): (),
        ) -> Result<(), foundation::ractor::ActorProcessingErr> {
            myself.stop(None);
            Ok(())
        }
    }

    let (registry, names) = test_registry().await;
    let actor = names.spawn(&PROBE, Mayfly, ()).await.unwrap();
    actor.wait(None).await.unwrap();
    assert_eq!(registry.stats().total, 0);
}

// ---- unregister ----

#[tokio::test]
async fn after_unregister_another_gets_the_name_and_the_end_of_the_old_holder_does_not_free_it() {
    let (_registry, names) = test_registry().await;
    let ours = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let outside = foreign(Probe::default()).await;
    names.register(&OTHER, &outside).await.unwrap();
    assert!(names.unregister(&PROBE) && names.unregister(&OTHER));

    let new_probe = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let new_other = names.spawn(&OTHER, Probe::default(), ()).await.unwrap();
    ours.stop_and_wait(None, None).await.unwrap();
    outside.stop_and_wait(None, None).await.unwrap();
    // The process registry has read the event when it has started another namespace.
    names.supervise(names.child_spec(&crate::setup::key("third"), || (Probe::default(), ()))).await.unwrap();
    assert_eq!(names.lookup(&PROBE).unwrap().get_id(), new_probe.get_id());
    assert_eq!(names.lookup(&OTHER).unwrap().get_id(), new_other.get_id());
}

#[tokio::test]
async fn an_unregistered_actor_is_still_stopped_with_its_namespace() {
    let (_registry, names) = test_registry().await;
    let puppet = Puppet::default();
    names.spawn(&PROBE, puppet.actor(), ()).await.unwrap();
    names.unregister(&PROBE);
    names.cleanup().await.unwrap();
    assert!(puppet.alive() == 0);
}

#[tokio::test]
async fn an_unregistered_supervised_child_has_its_name_again_after_a_restart() {
    let (_registry, names) = test_registry().await;
    let puppet = Puppet::default();
    let on = puppet.clone();
    let spec = names.child_spec(&PROBE, move || (on.actor(), ()));
    let actor = names.supervise(spec).await.unwrap().unwrap();
    names.unregister(&PROBE);
    actor.kill();
    let back = names.wait_for_service(&PROBE, SOON).await.unwrap();
    assert_ne!(back.get_id(), actor.get_id());
    assert_eq!(puppet.overlaps(), 0);
}

/// If so configured, a supervisor does not wait for a name: it retries as for any failed start, and reports the holder.
#[tokio::test]
async fn a_restart_whose_name_was_taken_meanwhile_fails_with_the_holder() {
    let (_registry, names) = test_registry().await;
    let spec = names.child_spec(&PROBE, || (Probe::default(), ())).on_name_taken(NameTaken::Fail);
    let actor = names.supervise(spec).await.unwrap().unwrap();
    names.unregister(&PROBE);
    let taker = foreign(Probe::default()).await;
    names.register(&PROBE, &taker).await.unwrap();
    let application = names.application().unwrap();
    actor.kill();
    // It gives up in the end, and the namespace starts it anew without the child.
    application.wait_until_gone().await;
    assert_eq!(names.lookup(&PROBE).unwrap().get_id(), taker.get_id());
}
