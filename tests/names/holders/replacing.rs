//! Children that are replaced by a successor, with their names: the name has a holder all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foundation::names::{NameChange, RegistryError, ServiceRegistry, Watched};
use foundation::ractor::ActorStatus;
use foundation::supervision::{ChildError, ChildState, DynamicSupervisorSpec, StartError};
use foundation::{ChildSpec, Restart};
use foundation_testkit::{Behavior, Command, Gate, Probe, Puppet, SOON, test_registry};
use futures::poll;

use crate::setup::{OTHER, PROBE};

fn probe(names: &ServiceRegistry, puppet: &Puppet) -> ChildSpec {
    let puppet = puppet.clone();
    names.child_spec(&PROBE, move || (puppet.actor(), ()))
}

fn starting(names: &ServiceRegistry, start: Behavior) -> ChildSpec {
    names.child_spec(&PROBE, move || (Probe::default().start(start.clone()), ()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lookup_finds_a_holder_at_every_moment_of_a_replacement() {
    let (_registry, names) = test_registry().await;
    names.supervise(probe(&names, &Puppet::default())).await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let looking = std::thread::spawn({
        let (names, over) = (names.clone(), Arc::clone(&over));
        move || {
            let (via, mut looks) = (names.via(&PROBE), 0_u64);
            while !over.load(Ordering::Relaxed) {
                names.lookup(&PROBE).unwrap();
                via.cast(Command::Note("hello")).unwrap();
                looks += 1;
            }
            looks
        }
    });
    for _ in 0..100 {
        let before = names.lookup(&PROBE).unwrap();
        let after = names.replace(probe(&names, &Puppet::default())).await.unwrap().unwrap();
        assert_eq!(names.lookup(&PROBE).unwrap().get_id(), after.get_id());
        assert_eq!(before.get_status(), ActorStatus::Stopped, "it is gone");
    }
    over.store(true, Ordering::Relaxed);
    assert!(looking.join().expect("a holder was always found") > 0);
}

#[tokio::test]
async fn a_successor_takes_over_the_place_and_the_rules_of_the_child() {
    let (_registry, names) = test_registry().await;
    let (first, second) = (Puppet::default(), Puppet::default());
    names.supervise(probe(&names, &first)).await.unwrap();
    names.supervise(names.child_spec(&OTHER, || (Probe::default(), ()))).await.unwrap();
    let mut watch = names.watch_service(&PROBE);
    assert!(matches!(watch.next().await, Some(Watched::Snapshot(_))));
    let before = names.lookup(&PROBE).unwrap().get_id();
    let successor = names.replace(probe(&names, &second).restart(Restart::Transient)).await.unwrap().unwrap();
    assert!(first.alive() == 0 && second.alive() > 0);

    let application = names.application().unwrap();
    let children = application.which_children().await.unwrap();
    let order: Vec<_> = children.iter().rev().map(|child| child.id.as_str()).collect();
    assert_eq!(order, ["probe", "other"]);
    let child = application.which_child("probe").await.unwrap();
    assert_eq!((child.state, child.restart), (ChildState::Running(successor.get_id()), Restart::Transient));
    assert_eq!(application.tree().await.supervision.unwrap().used, 0, "it is no restart");
    let Some(Watched::Change(NameChange::HandedOver { from, to })) = watch.next().await else { panic!("of {before}") };
    assert_eq!((from, to.actor), (before, successor.get_id()));

    // From now on it is an ordinary child.
    successor.kill();
    second.lived(2).await;
    assert_ne!(names.wait_for_service(&PROBE, SOON).await.unwrap().get_id(), successor.get_id());
    assert_eq!(second.overlaps(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_successor_that_does_not_start_leaves_the_child_and_its_name_alone() {
    let (_registry, names) = test_registry().await;
    names.supervise(probe(&names, &Puppet::default())).await.unwrap();
    let before = names.lookup(&PROBE).unwrap();
    let hangs = starting(&names, Behavior::Wait(Gate::new())).start_timeout(Duration::from_secs(1));
    for spec in [starting(&names, Behavior::Fail("no desk")), starting(&names, Behavior::Panic("broken")), hangs] {
        let refused = names.replace(spec).await.unwrap_err();
        let is_start = matches!(refused, RegistryError::Child { error: ChildError::Start { .. }, .. });
        assert!(is_start, "{refused}");
        assert_eq!(names.lookup(&PROBE).unwrap().get_id(), before.get_id());
        assert_eq!(names.via(&PROBE).call(Command::Id, SOON).await.unwrap(), before.get_id());
    }
    let child = names.application().unwrap().which_child("probe").await.unwrap();
    assert_eq!(child.state, ChildState::Running(before.get_id()));
}

#[tokio::test]
async fn only_a_child_that_runs_can_be_replaced() {
    let (_registry, names) = test_registry().await;
    let application = names.application().unwrap();
    let refused = application.replace_child(probe(&names, &Puppet::default())).await.unwrap_err();
    assert!(matches!(refused, ChildError::NotFound { .. }), "{refused}");
    names.supervise(probe(&names, &Puppet::default())).await.unwrap();
    application.terminate_child("probe").await.unwrap();
    let refused = application.replace_child(probe(&names, &Puppet::default())).await.unwrap_err();
    assert!(matches!(refused, ChildError::Stopped { .. }), "{refused}");
}

#[tokio::test]
async fn a_cancelled_replacement_continues_to_its_end() {
    let (_registry, names) = test_registry().await;
    names.supervise(probe(&names, &Puppet::default())).await.unwrap();
    let before = names.lookup(&PROBE).unwrap();
    let gate = Gate::new();
    let mut replacing = Box::pin(names.replace(starting(&names, Behavior::Wait(gate.clone()))));
    assert!(poll!(&mut replacing).is_pending());
    drop(replacing);
    gate.arrival().await;
    gate.open();
    before.wait(None).await.unwrap();
    assert_ne!(names.lookup(&PROBE).unwrap().get_id(), before.get_id());
}

/// Its predecessor fails while the successor starts, and is restarted: the name belongs to that restart.
#[tokio::test]
async fn a_successor_whose_predecessor_has_ended_meanwhile_is_not_wanted() {
    let (_registry, names) = test_registry().await;
    let puppet = Puppet::default();
    names.supervise(probe(&names, &puppet)).await.unwrap();
    let before = names.lookup(&PROBE).unwrap();
    let gate = Gate::new();
    let replacing = tokio::spawn({
        let (names, spec) = (names.clone(), starting(&names, Behavior::Wait(gate.clone())));
        async move { names.replace(spec).await }
    });
    gate.arrival().await;
    before.kill();
    puppet.lived(2).await;
    let restarted = names.wait_for_service(&PROBE, SOON).await.unwrap();
    gate.open();
    let refused = replacing.await.unwrap().unwrap_err();
    assert!(refused.to_string().contains("does not have the name probe any more"), "{refused}");
    assert_eq!(names.lookup(&PROBE).unwrap().get_id(), restarted.get_id());
}

#[tokio::test]
async fn a_child_that_is_terminated_meanwhile_is_not_replaced() {
    let (_registry, names) = test_registry().await;
    names.supervise(probe(&names, &Puppet::default())).await.unwrap();
    let (gate, puppet) = (Gate::new(), Puppet::default());
    let replacing = tokio::spawn({
        let (names, gate, puppet) = (names.clone(), gate.clone(), puppet.clone());
        let start = move || (puppet.actor().start(Behavior::Wait(gate.clone())), ());
        async move { names.replace(names.child_spec(&PROBE, start)).await }
    });
    gate.arrival().await;
    names.application().unwrap().terminate_child("probe").await.unwrap();
    gate.open();
    replacing.await.unwrap().unwrap_err();
    puppet.ended(1).await;
    assert!(!names.is_registered(&PROBE));
}

#[tokio::test]
async fn a_child_of_a_dynamic_supervisor_is_replaced_with_its_name() {
    let (_registry, names) = test_registry().await;
    names.supervise(ChildSpec::dynamic_supervisor("pool", DynamicSupervisorSpec::default())).await.unwrap();
    let pool = names.application().unwrap().dynamic_supervisor("pool").await.unwrap().unwrap();
    let (first, second) = (Puppet::default(), Puppet::default());
    let before = pool.start_child(probe(&names, &first)).await.unwrap().unwrap();
    let after = pool.replace_child(before.get_id(), probe(&names, &second)).await.unwrap().unwrap();
    assert_eq!(names.lookup(&PROBE).unwrap().get_id(), after.get_id());
    assert!(first.alive() == 0);
    assert_eq!(pool.count_children().await.unwrap().active, 1);
    let refused = pool.replace_child(before.get_id(), probe(&names, &second)).await.unwrap_err();
    assert!(matches!(refused, ChildError::NotFound { .. }), "{refused}");
    pool.terminate_child(after.get_id()).await.unwrap();
    assert!(second.alive() == 0);
}

/// The successor is gone with its supervisor, and no caller waits for it for ever.
#[tokio::test]
async fn a_shutdown_ends_a_replacement_under_way() {
    let (_registry, names) = test_registry().await;
    names.supervise(probe(&names, &Puppet::default())).await.unwrap();
    let (gate, puppet) = (Gate::new(), Puppet::default());
    let replacing = tokio::spawn({
        let (names, gate, puppet) = (names.clone(), gate.clone(), puppet.clone());
        let start = move || (puppet.actor().start(Behavior::Wait(gate.clone())), ());
        async move { names.replace(names.child_spec(&PROBE, start)).await }
    });
    gate.arrival().await;
    names.cleanup().await.unwrap();
    assert!(puppet.alive() == 0);
    let refused = replacing.await.unwrap().unwrap_err();
    let is_known = matches!(
        refused,
        RegistryError::Child { error: ChildError::NotRunning { .. }, .. }
            | RegistryError::Child { error: ChildError::Start { error: StartError::Terminated, .. }, .. }
    );
    assert!(is_known, "{refused}");
}

#[tokio::test]
async fn a_successor_has_the_metadata_of_its_own_specification() {
    let (_registry, names) = test_registry().await;
    let described = |zone: &str| {
        let metadata = foundation::names::Metadata::new(zone).unwrap();
        names.with_metadata(metadata).child_spec(&PROBE, || (Probe::default(), ()))
    };
    names.supervise(described("eu")).await.unwrap();
    let mut watch = names.watch_service(&PROBE);
    assert!(matches!(watch.next().await, Some(Watched::Snapshot(_))));
    let zone = |metadata: Option<foundation::names::Metadata>| metadata.unwrap().read::<String>().unwrap();
    // A specification without metadata keeps the metadata of the name.
    for (spec, expected) in
        [(described("us"), "us"), (probe(&names, &Puppet::default()), "us"), (described("as"), "as")]
    {
        let successor = names.replace(spec).await.unwrap().unwrap();
        assert_eq!(zone(names.metadata(&PROBE).unwrap()), expected);
        let Some(Watched::Change(NameChange::HandedOver { to, .. })) = watch.next().await else { panic!("{expected}") };
        assert_eq!((to.actor, zone(to.metadata)), (successor.get_id(), expected.to_owned()));
    }
    // From then on its owner may change it, and each change is reported.
    let owner = names.lookup(&PROBE).unwrap();
    names.update_metadata(&PROBE, &owner, |_| foundation::names::Metadata::new("au").ok()).unwrap();
    let Some(Watched::Change(NameChange::Updated(update))) = watch.next().await else { panic!("an update") };
    assert_eq!(zone(update.metadata), "au");
}

/// The supervisor counts the restarts of a child; a name, the restarts under its present specification.
#[tokio::test]
async fn the_restarts_of_a_name_are_counted_anew_for_a_successor() {
    let (_registry, names) = test_registry().await;
    let (first, second) = (Puppet::default(), Puppet::default());
    names.supervise(probe(&names, &first)).await.unwrap();
    let restarts = || async {
        let child = names.application().unwrap().which_child("probe").await.unwrap();
        (child.restarts, names.service_info().services[0].restarts)
    };
    names.lookup(&PROBE).unwrap().kill_and_wait(None).await.unwrap();
    names.wait_for_service(&PROBE, SOON).await.unwrap();
    assert_eq!(restarts().await, (1, 1));
    names.replace(probe(&names, &second)).await.unwrap().unwrap();
    assert_eq!(restarts().await, (1, 0));
    names.lookup(&PROBE).unwrap().kill_and_wait(None).await.unwrap();
    names.wait_for_service(&PROBE, SOON).await.unwrap();
    assert_eq!(restarts().await, (2, 1));
}
