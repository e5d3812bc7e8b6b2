//! Section 9: the faults of another supervision crate for ractor, point by point, and ractor's own table of names. Each
//! `peer_9_…` shows the right behaviour.
//!
//! Of its points two have their tests elsewhere: significant children (its lack of them), and a clock that can be paused.

use std::time::Duration;

use foundation::names::ProcessRegistry;
use foundation::ractor::Actor;
use foundation::supervision::{ChildError, ChildState, Shutdown, SupervisorSpec};
use foundation::{ChildSpec, Namespace, Restart, ServiceKey, Strategy, Supervisor};
use foundation_testkit::{Behavior, Command, Gate, Moment, ping, soon};
use tokio::time::Instant;

use crate::otp::{Agency, Office, at_most, counts, puppets, states};

const SECOND: Duration = Duration::from_secs(1);
static CLERK: ServiceKey<Command> = ServiceKey::from_static("clerk");

#[tokio::test]
async fn peer_9_children_are_up_when_their_supervisor_has_started() {
    let (log, [a, b]) = puppets(["a", "b"]);
    let spec = SupervisorSpec::new(Strategy::OneForOne).children([a.spec(), b.spec()]);
    let sup = Supervisor::start("office", spec).await.unwrap();
    assert_eq!(log.of(&[Moment::Up]), ["a up", "b up"]);
    assert_eq!(states(&sup.which_children().await.unwrap()), ["b running", "a running"]);
    sup.shutdown().await;
}

#[tokio::test]
async fn peer_9_a_child_that_does_not_start_is_an_error_of_the_supervisors_start() {
    let (_, [a, b]) = puppets(["a", "b"]);
    b.next(Moment::Starting, Behavior::Fail("no desk"));
    let spec = SupervisorSpec::new(Strategy::OneForOne).children([a.spec(), b.spec()]);
    let error = Supervisor::start("office", spec).await.unwrap_err();
    assert_eq!(error.to_string(), "child b did not start: no desk");
    assert_eq!(a.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn peer_9_siblings_are_asked_to_stop_and_have_their_time() {
    let (log, [a, b]) = puppets(["a", "b"]);
    a.always(Moment::Stopping, Behavior::Take(3 * SECOND));
    let mut office = Office::of(Strategy::OneForAll, 3, &[&a, &b]).await;
    let begun = Instant::now();
    b.order(Command::Fail("broken"));
    office.reports.restarted("b").await;
    assert_eq!(begun.elapsed(), 3 * SECOND);
    assert_eq!((log.count("a", Moment::Down), a.overlaps(), b.overlaps()), (1, 0, 0));
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn peer_9_a_terminated_child_is_stopped_by_its_own_rule() {
    for (rule, took, asked) in [
        (Shutdown::BrutalKill, Duration::ZERO, 0),
        (Shutdown::Timeout(SECOND), SECOND, 1),
        (Shutdown::Infinity, 9 * SECOND, 1),
    ] {
        let (log, [a]) = puppets(["a"]);
        a.always(Moment::Stopping, Behavior::Take(9 * SECOND));
        let office = Office::of(Strategy::OneForOne, 0, &[]).await;
        office.office.start_child(a.spec().shutdown(rule)).await.unwrap();
        let begun = Instant::now();
        office.office.terminate_child("a").await.unwrap();
        assert_eq!((begun.elapsed(), log.count("a", Moment::Stopping), a.alive()), (took, asked, 0), "{rule:?}");
        office.close().await;
    }
}

/// On the paused clock, any sleep would be visible.
#[tokio::test(start_paused = true)]
async fn peer_9_a_restart_of_all_takes_only_the_time_of_the_children() {
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        let (_, [a, b, c]) = puppets(["a", "b", "c"]);
        let mut office = Office::of(strategy, 3, &[&a, &b, &c]).await;
        let begun = Instant::now();
        a.latest().kill();
        office.reports.restarted("c").await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "{strategy}");
        assert!([&a, &b, &c].iter().all(|puppet| puppet.overlaps() == 0 && puppet.alive() == 1));
        office.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn peer_9_children_stop_in_reverse_order_one_after_the_other() {
    let (log, [a, b, c]) = puppets(["a", "b", "c"]);
    for puppet in [&a, &b, &c] {
        puppet.always(Moment::Stopping, Behavior::Take(SECOND));
    }
    let office = Office::of(Strategy::OneForOne, 0, &[&a, &b, &c]).await;
    office.close().await;
    let order = ["c stopping", "c down", "b stopping", "b down", "a stopping", "a down"];
    assert_eq!(log.of(&[Moment::Stopping, Moment::Down]), order);
}

#[tokio::test]
async fn peer_9_children_can_be_administered() {
    let (_, [a, b]) = puppets(["a", "b"]);
    let office = Office::of(Strategy::OneForOne, 0, &[&a]).await;
    let sup = &office.office;
    sup.start_child(b.spec()).await.unwrap();
    assert_eq!(counts(sup).await, [2, 2, 0, 2]);
    sup.terminate_child("a").await.unwrap();
    assert_eq!(states(&sup.which_children().await.unwrap()), ["b running", "a stopped"]);
    assert_eq!(ping(&sup.restart_child("a").await.unwrap().unwrap()).await, Some(2));
    sup.terminate_child("b").await.unwrap();
    sup.delete_child("b").await.unwrap();
    assert_eq!(counts(sup).await, [1, 1, 0, 1]);
    office.close().await;
}

#[tokio::test]
async fn peer_9_a_a_transient_child_that_is_killed_is_restarted() {
    let (_, [a, b]) = puppets(["a", "b"]);
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(a.spec().restart(Restart::Transient));
    let mut office = Office::open(spec).await;
    let mut agency = Agency::of(1, &[]).await;
    agency.agency.start_child(b.spec().restart(Restart::Transient)).await.unwrap();
    a.latest().kill();
    b.latest().kill();
    assert_eq!(office.reports.restarted("a").await, a.id());
    assert_eq!(agency.reports.restarted("b").await, b.id());
    office.close().await;
    agency.close().await;
}

#[tokio::test]
async fn peer_9_b_a_child_that_is_terminated_while_its_restart_is_due_stays_gone() {
    let (log, [a]) = puppets(["a"]);
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(u32::MAX)).child(a.spec());
    let mut office = Office::open(spec).await;
    a.always(Moment::Called, Behavior::Fail("not yet"));
    a.order(Command::Fail("broken"));
    office.reports.start_failed("a").await;
    office.office.terminate_child("a").await.unwrap();
    a.always(Moment::Called, Behavior::Proceed);
    let starts = log.count("a", Moment::Called);
    // Requests and answers: a retry that was still due would have had its turn.
    for _ in 0..10 {
        assert_eq!(states(&office.office.which_children().await.unwrap()), ["a stopped"]);
    }
    assert_eq!((log.count("a", Moment::Called), a.alive()), (starts, 0));
    office.close().await;
}

/// The same while the start of the restart is under way.
#[tokio::test]
async fn peer_9_b_a_child_that_is_terminated_while_it_restarts_stays_gone() {
    let (_, [a]) = puppets(["a"]);
    let agency =
        Agency::open(foundation::supervision::DynamicSupervisorSpec::default().intensity(at_most(u32::MAX))).await;
    let child = agency.agency.start_child(a.spec()).await.unwrap().unwrap().get_id();
    let (gate, log) = (Gate::new(), a.clone());
    a.always(Moment::Starting, Behavior::Wait(gate.clone()));
    a.order(Command::Fail("broken"));
    gate.arrival().await;
    assert_eq!(agency.agency.which_children().await.unwrap()[0].state, ChildState::Restarting);
    agency.agency.terminate_child(child).await.unwrap();
    gate.open();
    assert_eq!((agency.agency.count_children().await.unwrap().specs, log.alive()), (0, 0));
    agency.close().await;
}

#[tokio::test]
async fn peer_9_c_two_supervisors_may_have_a_child_of_one_id() {
    let (_, [a, same]) = puppets(["a", "a"]);
    let mut one = Office::of(Strategy::OneForOne, 1, &[&a]).await;
    let other = Office::of(Strategy::OneForOne, 1, &[]).await;
    other.office.start_child(same.spec()).await.unwrap();
    a.order(Command::Fail("broken"));
    one.reports.restarted("a").await;
    assert_eq!((ping(&a.latest()).await, ping(&same.latest()).await), (Some(2), Some(1)));
    one.close().await;
    assert_eq!(counts(&other.office).await, [1, 1, 0, 1]);
    other.close().await;
}

#[tokio::test]
async fn peer_9_c_a_second_child_of_one_id_is_refused_and_the_supervisor_continues() {
    let (_, [a, same]) = puppets(["a", "a"]);
    let office = Office::of(Strategy::OneForOne, 0, &[&a]).await;
    let error = office.office.start_child(same.spec()).await.unwrap_err();
    assert!(matches!(error, ChildError::AlreadyStarted { actor, .. } if actor == a.id()), "{error}");
    assert_eq!((counts(&office.office).await, same.alive()), ([1, 1, 0, 1], 0));
    office.close().await;
}

#[tokio::test]
async fn peer_9_d_the_end_of_a_linked_unmanaged_actor_does_no_harm() {
    let (log, [child, stray]) = puppets(["child", "stray"]);
    for (number, end) in [Command::Stop(None), Command::Fail("broken"), Command::Panic("oh")].into_iter().enumerate() {
        let agency = Agency::of(0, &[&child]).await;
        Actor::spawn_linked(None, stray.actor(), (), agency.agency.actor().unwrap()).await.unwrap();
        stray.order(end);
        log.reached("stray", Moment::Dropped, number + 1).await;
        assert_eq!(states(&agency.agency.which_children().await.unwrap()), ["child running"]);
        assert_eq!(ping(&child.latest()).await, Some(number as u32 + 1));
        agency.close().await;
    }
}

#[tokio::test]
async fn peer_9_e_a_name_is_not_free_before_post_stop_has_run() {
    let registry = ProcessRegistry::start().await.unwrap();
    let names = registry.namespace(Namespace::test()).await.unwrap();
    let (log, [clerk]) = puppets(["clerk"]);
    let gate = Gate::new();
    clerk.next(Moment::Stopping, Behavior::Wait(gate.clone()));
    names.spawn(&CLERK, clerk.actor(), ()).await.unwrap();
    clerk.order(Command::Stop(None));
    log.reached("clerk", Moment::Stopping, 1).await;
    let mut next = Box::pin(names.spawn(&CLERK, clerk.actor(), ()));
    assert!(futures::poll!(&mut next).is_pending());
    assert_eq!(log.count("clerk", Moment::Starting), 1);
    gate.open();
    soon("the next one", next).await.unwrap();
    assert_eq!((clerk.alive(), clerk.overlaps()), (1, 0));
    let life = [Moment::Starting, Moment::Down, Moment::Dropped];
    let order = ["clerk starting", "clerk down", "clerk dropped", "clerk starting"];
    assert_eq!(log.of(&life)[..4], order);
    registry.shutdown().await;
}

/// The restart of a supervised child waits as well.
#[tokio::test]
async fn peer_9_e_a_restarted_child_finds_its_name_free() {
    let registry = ProcessRegistry::start().await.unwrap();
    let names = registry.namespace(Namespace::test()).await.unwrap();
    let (_, [clerk]) = puppets(["clerk"]);
    let actor = clerk.clone();
    let spec: ChildSpec = names.child_spec(&CLERK, move || (actor.actor(), ()));
    let mut office = Office::open(SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(50)).child(spec)).await;
    for _ in 0..50 {
        clerk.order(Command::Panic("oh"));
        let actor = office.reports.restarted("clerk").await;
        assert_eq!(names.lookup(&CLERK).unwrap().get_id(), actor);
    }
    assert_eq!((clerk.alive(), clerk.overlaps()), (1, 0));
    office.close().await;
    registry.shutdown().await;
}
