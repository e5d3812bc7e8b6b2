//! Outdated events, unmanaged actors, and a reporter that fails.

use foundation::ractor::{Actor, SpawnErr};
use foundation::supervision::{ChildEvent, ExitReason, Report, Reporter, Stopped, SupervisorSpec, check_stop_reason};
use foundation::{Restart, Strategy, Supervisor};
use foundation_testkit::{Behavior, Command, ExitMonitor, Gate, Moment, error_text, soon};

use crate::otp::{Agency, Office, STRATEGIES, at_rest, puppets, states};

#[tokio::test]
async fn protocol_6_the_end_of_a_child_that_is_being_stopped_is_no_failure() {
    for strategy in STRATEGIES {
        let (log, [child]) = puppets(["child"]);
        let office = Office::of(strategy, 0, &[&child]).await;
        child.next(Moment::Stopping, Behavior::Panic("cracked on the way out"));
        office.office.terminate_child("child").await.unwrap();
        assert_eq!(states(&at_rest(&office.office).await), ["child stopped"]);
        office.office.restart_child("child").await.unwrap().unwrap();
        // The event of the first incarnation was read long ago; it does not affect the second one.
        assert_eq!(states(&at_rest(&office.office).await), ["child running"]);
        assert_eq!(log.count("child", Moment::Up), 2);
        office.close().await;
    }
}

#[tokio::test]
async fn protocol_6_a_child_that_is_killed_and_terminated_at_once_stays_down() {
    for strategy in STRATEGIES {
        let (_, [child]) = puppets(["child"]);
        let office = Office::of(strategy, 100, &[&child]).await;
        for _ in 0..50 {
            child.latest().kill();
            office.office.terminate_child("child").await.unwrap();
            assert_eq!(states(&office.office.which_children().await.unwrap()), ["child stopped"]);
            assert_eq!(child.alive(), 0);
            office.office.restart_child("child").await.unwrap();
        }
        office.close().await;
    }
}

#[tokio::test]
async fn protocol_6_the_failure_of_an_unmanaged_actor_does_not_affect_the_supervisor() {
    let (log, [child, stray]) = puppets(["child", "stray"]);
    let mut office = Office::of(Strategy::OneForAll, 0, &[&child]).await;
    let mut witness = ExitMonitor::new().await;
    for (end, text) in [(Command::Fail("broken"), "broken"), (Command::Stop(Some("shutdown")), "shutdown")] {
        let actor = Actor::spawn_linked(None, stray.actor(), (), office.office.actor().unwrap()).await.unwrap().0;
        witness.watch(&actor);
        stray.order(end);
        assert_eq!(witness.end_of(actor.get_id()).await, text);
        log.reached("stray", Moment::Dropped, log.count("stray", Moment::Starting)).await;
    }
    assert_eq!(states(&at_rest(&office.office).await), ["child running"]);
    assert_eq!(log.count("child", Moment::Up), 1);
    let rest = office.reports.rest();
    assert!(rest.iter().all(|report| report.child.as_str() != "stray"), "{rest:?}");
    office.close().await;
}

#[tokio::test]
async fn protocol_6_unmanaged_actors_are_stopped_at_the_shutdown_before_the_children() {
    let (log, [child, stray]) = puppets(["child", "stray"]);
    let office = Office::of(Strategy::OneForOne, 0, &[&child]).await;
    Actor::spawn_linked(None, stray.actor(), (), office.office.actor().unwrap()).await.unwrap();
    office.close().await;
    assert_eq!(log.of(&[Moment::Down]), ["stray down", "child down"]);
    log.reached("stray", Moment::Dropped, 1).await;
}

#[tokio::test(start_paused = true)]
async fn protocol_6_an_unmanaged_actor_that_does_not_stop_is_killed() {
    let (log, [stray]) = puppets(["stray"]);
    let mut office = Office::of(Strategy::OneForOne, 0, &[]).await;
    Actor::spawn_linked(None, stray.actor(), (), office.office.actor().unwrap()).await.unwrap();
    stray.order(Command::Hang);
    soon("shutdown", office.top.shutdown()).await;
    log.reached("stray", Moment::Dropped, 1).await;
    let killed = |report: &Report| matches!(report.happened, ChildEvent::Stopped { how: Stopped::Killed, .. });
    assert_eq!(office.reports.rest().iter().filter(|report| killed(report)).count(), 1);
}

/// Its `pre_start` has run by then, and its `post_stop` never will: only its destructors clean up.
#[tokio::test]
async fn protocol_11_no_actor_can_be_linked_to_a_supervisor_that_is_stopping() {
    let (log, [child, late]) = puppets(["child", "late"]);
    let gate = Gate::new();
    child.always(Moment::Stopping, Behavior::Wait(gate.clone()));
    let office = Office::of(Strategy::OneForOne, 0, &[&child]).await;
    let (actor, top) = (office.office.actor().unwrap(), office.top.clone());
    let closing = tokio::spawn(async move { top.shutdown().await });
    log.reached("child", Moment::Stopping, 1).await;
    let spawned = Actor::spawn_linked(None, late.actor(), (), actor).await;
    assert!(matches!(spawned, Err(SpawnErr::StartupFailed(_))));
    let life = [Moment::Up, Moment::Stopping, Moment::Dropped];
    assert_eq!(log.of(&life)[1..], ["child stopping", "late up", "late dropped"]);
    gate.open();
    soon("shutdown", closing).await.unwrap();
}

#[tokio::test]
async fn protocol_7_a_child_that_stops_itself_with_a_reserved_text_is_taken_for_killed() {
    let (_, [child]) = puppets(["child"]);
    let spec = child.spec().restart(Restart::Transient);
    let mut office = Office::open(SupervisorSpec::new(Strategy::OneForOne).child(spec)).await;
    child.order(Command::Stop(Some("killed")));
    assert_eq!(office.reports.exited("child").await, ExitReason::Killed);
    office.reports.restarted("child").await;
    let error = error_text(check_stop_reason("killed"));
    assert!(error.starts_with("the stop reason \"killed\" is reserved"), "{error}");
    office.close().await;
}

struct Grumpy;

impl Reporter for Grumpy {
    fn report(&self, report: &Report) {
        panic!("who cares about {}", report.child);
    }
}

#[tokio::test]
async fn protocol_a_reporter_that_panics_loses_its_reports_and_nothing_else() {
    let (log, [a, b]) = puppets(["a", "b"]);
    let spec = SupervisorSpec::new(Strategy::OneForAll).children([a.spec(), b.spec()]).reporter(Grumpy);
    let sup = Supervisor::start("grumpy", spec).await.unwrap();
    a.order(Command::Fail("broken"));
    log.reached("b", Moment::Up, 2).await;
    assert_eq!(states(&at_rest(&sup).await), ["b running", "a running"]);
    soon("shutdown", sup.shutdown()).await;
    assert_eq!([a.alive(), b.alive()], [0, 0]);
}

#[tokio::test]
async fn protocol_a_dynamic_child_that_hangs_in_its_restart_is_terminated_by_its_latest_actor() {
    let (log, [child]) = puppets(["child"]);
    let agency = Agency::of(3, &[&child]).await;
    let actor = child.id();
    child.always(Moment::Starting, Behavior::Hang);
    child.latest().kill();
    log.reached("child", Moment::Starting, 2).await;
    soon("the termination", agency.agency.terminate_child(actor)).await.unwrap();
    assert_eq!(agency.agency.which_children().await.unwrap(), []);
    assert_eq!(child.alive(), 0);
    agency.close().await;
}
