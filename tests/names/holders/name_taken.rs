//! Children whose name another actor has when they are to be restarted: no failure, and no other child ends.

use std::time::Duration;

use foundation::names::{RegistryError, ServiceRegistry};
use foundation::supervision::{
    Backoff, ChildError, ChildState, NameTaken, RestartIntensity, StartError, SupervisorSpec,
};
use foundation::{ChildSpec, Strategy, Supervisor};
use foundation_testkit::{Probe, SOON, eventually, test_registry, until};
use tokio::time::Instant;

use crate::setup::{OTHER, PROBE, foreign};

const NEVER: RestartIntensity = RestartIntensity::new(0, Duration::from_secs(5));
const ONCE: RestartIntensity = RestartIntensity::new(1, Duration::from_secs(5));

fn probe(names: &ServiceRegistry) -> ChildSpec {
    names.child_spec(&PROBE, || (Probe::default(), ()))
}

/// A supervisor of its own under the application, with these children.
async fn office(names: &ServiceRegistry, spec: SupervisorSpec) -> Supervisor {
    names.supervise(ChildSpec::supervisor("office", spec)).await.unwrap();
    names.application().unwrap().supervisor("office").await.unwrap().unwrap()
}

/// Returns when the child is in this state.
async fn until_in_state(supervisor: &Supervisor, id: &str, state: ChildState) {
    until(format!("{id} in its state"), async || supervisor.which_child(id).await.unwrap().state == state).await;
}

#[tokio::test(start_paused = true)]
async fn a_child_whose_name_was_handed_over_waits_for_it() {
    let (_registry, names) = test_registry().await;
    let office = office(&names, SupervisorSpec::new(Strategy::OneForOne).intensity(ONCE).child(probe(&names))).await;
    let begun = Instant::now();
    let (child, heir) = (names.lookup(&PROBE).unwrap(), foreign(Probe::default()).await);
    names.hand_over(&PROBE, &heir).unwrap();
    child.kill();
    until_in_state(&office, "probe", ChildState::NameTaken).await;
    assert_eq!(names.lookup(&PROBE).unwrap().get_id(), heir.get_id());
    assert_eq!(office.tree().await.supervision.unwrap().used, 1, "the crash, and no refusal");

    heir.stop_and_wait(None, None).await.unwrap();
    until_in_state(&office, "probe", ChildState::Running(names.wait_for_service(&PROBE, SOON).await.unwrap().get_id()))
        .await;
    assert_ne!(names.lookup(&PROBE).unwrap().get_id(), heir.get_id());
    assert_eq!(begun.elapsed(), Duration::ZERO, "woken by the fact");
}

#[tokio::test(start_paused = true)]
async fn a_child_whose_name_is_taken_during_its_backoff_waits_for_it() {
    let (_registry, names) = test_registry().await;
    let spec = probe(&names).backoff(Backoff::Constant(Duration::from_secs(1)));
    let office = office(&names, SupervisorSpec::new(Strategy::OneForOne).intensity(ONCE).child(spec)).await;
    names.lookup(&PROBE).unwrap().kill();
    until_in_state(&office, "probe", ChildState::Restarting).await;
    names.wait_until_free(&PROBE, SOON).await.unwrap();
    let taker = foreign(Probe::default()).await;
    names.register(&PROBE, &taker).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    until_in_state(&office, "probe", ChildState::NameTaken).await;
    assert_eq!(office.which_child("probe").await.unwrap().backoff, None);
    let begun = Instant::now();
    taker.stop_and_wait(None, None).await.unwrap();
    names.wait_for_service(&PROBE, SOON).await.unwrap();
    assert_eq!((begun.elapsed(), office.tree().await.supervision.unwrap().used), (Duration::ZERO, 1));
}

#[tokio::test(start_paused = true)]
async fn a_child_whose_rule_is_to_stop_when_its_name_is_taken_stays_stopped_until_a_request() {
    let (_registry, names) = test_registry().await;
    let spec = probe(&names).on_name_taken(NameTaken::Rest);
    let office = office(&names, SupervisorSpec::new(Strategy::OneForOne).intensity(ONCE).child(spec)).await;
    let (child, heir) = (names.lookup(&PROBE).unwrap(), foreign(Probe::default()).await);
    names.hand_over(&PROBE, &heir).unwrap();
    child.kill();
    until_in_state(&office, "probe", ChildState::Stopped).await;
    let refused = office.restart_child("probe").await.unwrap_err();
    assert!(matches!(refused, ChildError::Start { error: StartError::NameTaken { .. }, .. }), "{refused}");

    heir.stop(None);
    names.wait_until_free(&PROBE, SOON).await.unwrap();
    assert_eq!(office.which_child("probe").await.unwrap().state, ChildState::Stopped);
    office.restart_child("probe").await.unwrap().unwrap();
}

#[tokio::test]
async fn a_child_may_fail_when_its_name_is_taken() {
    let (_registry, names) = test_registry().await;
    let spec = probe(&names).on_name_taken(NameTaken::Fail);
    let office = office(&names, SupervisorSpec::new(Strategy::OneForOne).intensity(ONCE).child(spec)).await;
    let (child, heir) = (names.lookup(&PROBE).unwrap(), foreign(Probe::default()).await);
    names.hand_over(&PROBE, &heir).unwrap();
    child.kill();
    office.wait_until_gone().await;
}

#[tokio::test(start_paused = true)]
async fn a_child_that_waits_for_its_name_can_be_terminated() {
    let (_registry, names) = test_registry().await;
    let office = office(&names, SupervisorSpec::new(Strategy::OneForOne).child(probe(&names))).await;
    let (child, heir) = (names.lookup(&PROBE).unwrap(), foreign(Probe::default()).await);
    names.hand_over(&PROBE, &heir).unwrap();
    child.kill();
    until_in_state(&office, "probe", ChildState::NameTaken).await;
    office.terminate_child("probe").await.unwrap();
    heir.stop(None);
    names.wait_until_free(&PROBE, SOON).await.unwrap();
    assert_eq!(office.which_child("probe").await.unwrap().state, ChildState::Stopped);
    assert!(!names.is_registered(&PROBE));
}

#[tokio::test(start_paused = true)]
async fn a_requested_start_is_refused_at_once_while_the_name_is_taken() {
    let (_registry, names) = test_registry().await;
    let holder = foreign(Probe::default()).await;
    names.register(&PROBE, &holder).await.unwrap();
    let begun = Instant::now();
    let refused = names.supervise(probe(&names)).await.unwrap_err();
    let RegistryError::Child { error: ChildError::Start { error: source, .. }, .. } = &refused else {
        panic!("{refused}")
    };
    let StartError::NameTaken { error: source, .. } = source else { panic!("{refused}") };
    assert!(matches!(source.downcast_ref(), Some(RegistryError::AlreadyRegistered { .. })), "{refused}");
    let refused = Supervisor::start("own", SupervisorSpec::new(Strategy::OneForOne).child(probe(&names))).await;
    assert!(matches!(refused.unwrap_err().root_cause(), StartError::NameTaken { .. }));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

/// The name of a restarted supervisor's child is taken: that is no failed start of the supervisor.
#[tokio::test(start_paused = true)]
async fn a_supervisor_is_restarted_although_a_child_of_it_has_to_wait_for_its_name() {
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        let (_registry, names) = test_registry().await;
        let after = names.child_spec(&OTHER, || (Probe::default(), ()));
        let spec = SupervisorSpec::new(strategy).intensity(NEVER).child(probe(&names)).child(after);
        let first = office(&names, spec).await;
        let heir = foreign(Probe::default()).await;
        names.hand_over(&PROBE, &heir).unwrap();
        first.actor().unwrap().kill();
        first.wait_until_gone().await;
        let second = eventually("the next office", async || {
            names.application().unwrap().supervisor("office").await.ok().flatten()
        })
        .await;
        until_in_state(&second, "probe", ChildState::NameTaken).await;
        // In the other strategies it comes after the waiting child.
        assert_eq!(names.is_registered(&OTHER), strategy == Strategy::OneForOne, "{strategy}");
        assert_eq!(names.application().unwrap().tree().await.supervision.unwrap().used, 1, "{strategy}");

        heir.stop_and_wait(None, None).await.unwrap();
        names.wait_for_service(&OTHER, SOON).await.unwrap();
        assert_ne!(names.wait_for_service(&PROBE, SOON).await.unwrap().get_id(), heir.get_id());
    }
}

/// A restart of all of them, and another one while one waits: that one waits again, and starts in the end.
#[tokio::test(start_paused = true)]
async fn a_child_that_waits_for_its_name_takes_part_in_the_restarts_of_its_siblings() {
    let (_registry, names) = test_registry().await;
    let first = names.child_spec(&OTHER, || (Probe::default(), ()));
    let spec = SupervisorSpec::new(Strategy::OneForAll).intensity(RestartIntensity::new(2, SOON));
    let office = office(&names, spec.child(first).child(probe(&names))).await;
    let heir = foreign(Probe::default()).await;
    names.hand_over(&PROBE, &heir).unwrap();
    for _ in 0..2 {
        let other = names.wait_for_service(&OTHER, SOON).await.unwrap();
        other.kill_and_wait(None).await.unwrap();
        names.wait_for_service(&OTHER, SOON).await.unwrap();
        until_in_state(&office, "probe", ChildState::NameTaken).await;
    }
    heir.stop_and_wait(None, None).await.unwrap();
    names.wait_for_service(&PROBE, SOON).await.unwrap();
    assert_eq!(office.tree().await.supervision.unwrap().used, 2);
}

/// A dynamic supervisor removes a child that is not restarted; a waiting child counts as restarting.
#[tokio::test(start_paused = true)]
async fn a_dynamic_child_whose_name_is_taken_counts_while_it_waits_and_is_removed_if_it_stops() {
    for (rule, counts) in [(NameTaken::Wait, 1), (NameTaken::Rest, 0)] {
        let (_registry, names) = test_registry().await;
        let spec = foundation::supervision::DynamicSupervisorSpec::default().intensity(ONCE).max_children(1);
        names.supervise(ChildSpec::dynamic_supervisor("crowd", spec)).await.unwrap();
        let crowd = names.application().unwrap().dynamic_supervisor("crowd").await.unwrap().unwrap();
        let child = crowd.start_child(probe(&names).on_name_taken(rule)).await.unwrap().unwrap();
        let heir = foreign(Probe::default()).await;
        names.hand_over(&PROBE, &heir).unwrap();
        child.kill_and_wait(None).await.unwrap();
        let moving = |state| !matches!(state, ChildState::NameTaken);
        until("all at rest", async || !crowd.which_children().await.unwrap().iter().any(|child| moving(child.state)))
            .await;
        assert_eq!(crowd.count_children().await.unwrap().specs, counts, "{rule:?}");
        let other = names.child_spec(&OTHER, || (Probe::default(), ()));
        assert_eq!(crowd.start_child(other).await.is_ok(), counts == 0, "{rule:?}: there is room for one");
        // The actor of its latest life still identifies the waiting child.
        assert_eq!(crowd.terminate_child(child.get_id()).await.is_ok(), counts == 1, "{rule:?}");
        heir.stop_and_wait(None, None).await.unwrap();
        assert!(!names.is_registered(&PROBE));
    }
}
