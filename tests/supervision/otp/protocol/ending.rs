//! The end of a supervisor: in order, whatever is under way.

use std::time::Duration;

use foundation::supervision::{ChildError, ExitReason, Shutdown, SupervisorSpec};
use foundation::{ChildSpec, Strategy, Supervisor};
use foundation_testkit::{Behavior, Command, Gate, Moment, assert_error, soon};
use tokio::time::Instant;

use super::{SECOND, family};
use crate::otp::{Office, STRATEGIES, puppets, shutdown};

#[tokio::test(start_paused = true)]
async fn protocol_5_a_shutdown_aborts_a_start_under_way() {
    for strategy in STRATEGIES {
        let (log, [child, hanging]) = puppets(["child", "hanging"]);
        let office = Office::of(strategy, 3, &[&child]).await;
        hanging.always(Moment::Starting, Behavior::Hang);
        let (sup, spec) = (office.office.clone(), hanging.spec());
        let starting = tokio::spawn(async move { sup.start_child(spec).await });
        log.reached("hanging", Moment::Starting, 1).await;
        let begun = Instant::now();
        office.close().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(matches!(starting.await.unwrap(), Err(ChildError::NotRunning { .. })));
        assert_eq!([child.alive(), hanging.alive()], [0, 0]);
        assert_eq!(log.count("child", Moment::Down), 1);
    }
}

#[tokio::test]
async fn protocol_5_a_child_whose_start_has_just_finished_is_stopped_in_its_turn_by_a_shutdown() {
    let (log, [first, late]) = puppets(["first", "late"]);
    let office = Office::of(Strategy::OneForOne, 3, &[&first]).await;
    let gate = Gate::new();
    late.always(Moment::Starting, Behavior::Wait(gate.clone()));
    let (sup, spec) = (office.office.clone(), late.spec());
    let starting = tokio::spawn(async move { sup.start_child(spec).await });
    log.reached("late", Moment::Starting, 1).await;
    // On one thread the start finishes before the supervisor reads that it is to stop, which comes before the result.
    gate.open();
    office.close().await;
    assert_eq!(log.of(&[Moment::Up, Moment::Down]), ["first up", "late up", "late down", "first down"]);
    assert!(matches!(starting.await.unwrap(), Err(ChildError::NotRunning { .. })));
}

/// It is one of the children, though the supervisor does not know of it yet: it is not killed as an unmanaged actor.
#[tokio::test(start_paused = true)]
async fn protocol_5_a_child_whose_start_has_just_finished_is_stopped_by_its_own_rule() {
    let (log, [late]) = puppets(["late"]);
    let office = Office::of(Strategy::OneForOne, 3, &[]).await;
    let gate = Gate::new();
    late.always(Moment::Starting, Behavior::Wait(gate.clone()));
    late.always(Moment::Stopping, Behavior::Take(3600 * SECOND));
    let (sup, spec) = (office.office.clone(), late.spec().shutdown(Shutdown::Infinity));
    let starting = tokio::spawn(async move { sup.start_child(spec).await });
    log.reached("late", Moment::Starting, 1).await;
    gate.open();
    office.top.shutdown().await;
    assert_eq!(log.of(&[Moment::Up, Moment::Down]), ["late up", "late down"]);
    assert_error!(starting.await.unwrap(), ChildError::NotRunning { .. });
}

#[tokio::test]
async fn protocol_5_a_shutdown_lets_a_stop_under_way_finish() {
    let (log, [first, last]) = puppets(["first", "last"]);
    let gate = Gate::new();
    first.always(Moment::Stopping, Behavior::Wait(gate.clone()));
    let office = Office::of(Strategy::OneForOne, 3, &[&first, &last]).await;
    let (sup, top) = (office.office.clone(), office.top.clone());
    let terminating = tokio::spawn(async move { sup.terminate_child("first").await });
    log.reached("first", Moment::Stopping, 1).await;
    let closing = tokio::spawn(async move { top.shutdown().await });
    gate.open();
    soon("shutdown", closing).await.unwrap();
    assert_eq!(log.of(&[Moment::Down]), ["first down", "last down"]);
    let _ = terminating.await;
}

#[tokio::test]
async fn protocol_4_a_stop_from_outside_is_an_ordered_shutdown() {
    let (log, [a, b, c]) = puppets(["a", "b", "c"]);
    let mut office = Office::of(Strategy::OneForOne, 3, &[&a, &b, &c]).await;
    office.office.actor().unwrap().stop(Some("maintenance".into()));
    assert_eq!(office.ended().await, ExitReason::Shutdown("maintenance".into()));
    assert_eq!(log.of(&[Moment::Down]), ["c down", "b down", "a down"]);
    assert_eq!([a.alive(), b.alive(), c.alive()], [0, 0, 0]);
    office.close().await;
}

#[tokio::test]
async fn protocol_4_giving_up_is_an_ordered_shutdown() {
    let (log, [a, b, c]) = puppets(["a", "b", "c"]);
    let mut office = Office::of(Strategy::OneForOne, 0, &[&a, &b, &c]).await;
    b.order(Command::Fail("broken"));
    assert_eq!(office.ended().await, shutdown());
    assert_eq!(log.of(&[Moment::Down]), ["c down", "a down"]);
    office.close().await;
}

#[tokio::test]
async fn protocol_4_several_shutdowns_at_once_all_return() {
    let (_, [a]) = puppets(["a"]);
    let office = Office::of(Strategy::OneForOne, 0, &[&a]).await;
    let (one, other) = (office.top.clone(), office.top.clone());
    soon("both", async { tokio::join!(one.shutdown(), other.shutdown()) }).await;
    assert_eq!(a.alive(), 0);
    office.close().await;
}

/// Found by the simulation. The task of the start is in the state of the killed supervisor. The state is in an exit
/// event that a stopping supervisor does not read.
#[tokio::test(start_paused = true)]
async fn protocol_5_a_supervisor_that_is_killed_in_a_shutdown_ends_the_start_under_way() {
    let (log, [hanging]) = puppets(["hanging"]);
    let (inner, _) = family(&[&hanging]);
    let inner = ChildSpec::supervisor("inner", inner).shutdown(Shutdown::BrutalKill);
    let office = Office::open(SupervisorSpec::new(Strategy::OneForOne).child(inner)).await;
    hanging.next(Moment::Starting, Behavior::Hang);
    hanging.order(Command::Fail("broken"));
    log.reached("hanging", Moment::Starting, 2).await;
    let begun = Instant::now();
    office.close().await;
    assert_eq!((begun.elapsed(), hanging.alive()), (Duration::ZERO, 0));
}

/// Found by the simulation: the order of the steps is undefined and makes no difference.
#[tokio::test(start_paused = true)]
async fn protocol_5_a_shutdown_aborts_every_start_under_way_before_it_waits_for_a_stop() {
    for _ in 0..20 {
        let (log, [leaving, late]) = puppets(["leaving", "late"]);
        let office = Office::of(Strategy::OneForOne, 3, &[&leaving]).await;
        leaving.next(Moment::Stopping, Behavior::Take(2 * SECOND));
        late.next(Moment::Starting, Behavior::Take(SECOND));
        let (sup, other, spec) = (office.office.clone(), office.office.clone(), late.spec());
        let terminating = tokio::spawn(async move { sup.terminate_child("leaving").await });
        let starting = tokio::spawn(async move { other.start_child(spec).await });
        log.reached("leaving", Moment::Stopping, 1).await;
        log.reached("late", Moment::Starting, 1).await;
        office.close().await;
        assert_eq!(log.count("late", Moment::Up), 0);
        let _ = (terminating.await, starting.await);
    }
}

/// Found by the simulation. ractor does not kill the child of a killed actor that is in its `post_stop`.
#[tokio::test(start_paused = true)]
async fn protocol_5_a_supervisor_that_is_killed_in_a_shutdown_ends_a_child_in_its_post_stop() {
    let (log, [hanging]) = puppets(["hanging"]);
    let (inner, _) = family(&[&hanging]);
    let inner = ChildSpec::supervisor("inner", inner).shutdown(Shutdown::BrutalKill);
    let office = Office::open(SupervisorSpec::new(Strategy::OneForOne).child(inner)).await;
    hanging.next(Moment::Stopping, Behavior::Hang);
    hanging.order(Command::Stop(None));
    log.reached("hanging", Moment::Stopping, 1).await;
    let begun = Instant::now();
    office.close().await;
    assert_eq!((begun.elapsed(), hanging.alive()), (Duration::ZERO, 0));
}

/// No supervisor is left to stop them in order; they are killed, and gone.
#[tokio::test]
async fn protocol_4_a_cancelled_start_leaves_no_actor_behind() {
    let (log, [a, hanging]) = puppets(["a", "hanging"]);
    hanging.always(Moment::Starting, Behavior::Hang);
    let (inner, _) = family(&[&a, &hanging]);
    let abandoned = tokio::spawn(Supervisor::start("abandoned", inner));
    log.reached("hanging", Moment::Starting, 1).await;
    abandoned.abort();
    log.reached("a", Moment::Dropped, 1).await;
    log.reached("hanging", Moment::Dropped, 1).await;
    assert_eq!([a.alive(), hanging.alive()], [0, 0]);
}
