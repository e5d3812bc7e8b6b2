//! Starts that time out or fail.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use foundation::supervision::{ChildError, ChildKind, RestartIntensity, SpecError, Start, StartError, SupervisorSpec};
use foundation::{ChildSpec, Strategy, Supervisor};
use foundation_testkit::{Behavior, Gate, Moment, Puppet};

use super::SECOND;
use crate::otp::{Office, STRATEGIES, at_most, counts, puppets, shutdown, states};

#[tokio::test(start_paused = true)]
async fn protocol_8_a_first_start_that_takes_too_long_fails_and_undoes_the_earlier_starts() {
    let (log, [a, slow]) = puppets(["a", "slow"]);
    slow.always(Moment::Starting, Behavior::Hang);
    let spec = SupervisorSpec::new(Strategy::OneForOne).children([a.spec(), slow.spec().start_timeout(SECOND)]);
    let error = Supervisor::start("slow", spec).await.unwrap_err();
    assert!(matches!(error.root_cause(), StartError::TimedOut(limit) if *limit == SECOND), "{error}");
    assert_eq!([a.alive(), slow.alive()], [0, 0]);
    assert_eq!(log.count("a", Moment::Down), 1);
}

#[tokio::test(start_paused = true)]
async fn protocol_8_a_worker_has_thirty_seconds_to_start() {
    let (_, [slow]) = puppets(["slow"]);
    let office = Office::of(Strategy::OneForOne, 3, &[]).await;
    slow.next(Moment::Starting, Behavior::Take(29 * SECOND));
    assert!(office.office.start_child(slow.spec()).await.unwrap().is_some());
    office.office.terminate_child("slow").await.unwrap();
    slow.next(Moment::Starting, Behavior::Take(31 * SECOND));
    let error = office.office.restart_child("slow").await.unwrap_err();
    let ChildError::Start { error: StartError::TimedOut(limit), .. } = error else { panic!("{error}") };
    assert_eq!(limit, 30 * SECOND);
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn protocol_6_a_restart_that_takes_too_long_counts_as_one_and_is_tried_again() {
    let (log, [slow]) = puppets(["slow"]);
    let spec = slow.spec().start_timeout(SECOND);
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(3)).child(spec);
    let mut office = Office::open(spec).await;
    slow.next(Moment::Starting, Behavior::Hang);
    slow.latest().kill();
    assert!(office.reports.start_failed("slow").await.contains("1s"));
    office.reports.restarted("slow").await;
    slow.always(Moment::Starting, Behavior::Hang);
    slow.latest().kill();
    assert_eq!(office.ended().await, shutdown());
    assert_eq!(log.count("slow", Moment::Starting), 1 + 3);
    assert_eq!(slow.alive(), 0);
}

/// The supervisor can answer: the start is a task of its own then, and the supervisor reads its messages.
#[tokio::test]
async fn protocol_8_a_child_that_asks_its_supervisor_in_pre_start_is_answered_on_a_restart() {
    for strategy in STRATEGIES {
        let (_, [child]) = puppets(["child"]);
        let mut office = Office::of(strategy, 3, &[&child]).await;
        let sup = office.office.clone();
        let seen = Arc::new(OnceLock::new());
        let given = Arc::clone(&seen);
        let ask = Behavior::call(move || {
            let (sup, given) = (sup.clone(), Arc::clone(&given));
            async move {
                let _ = given.set(states(&sup.which_children().await?));
                Ok(())
            }
        });
        child.next(Moment::Starting, ask);
        child.latest().kill();
        office.reports.restarted("child").await;
        assert_eq!(seen.get().unwrap(), &["child restarting"]);
        office.close().await;
    }
}

/// The supervisor cannot answer during its own start. A child that waits for it ends by the time-out.
#[tokio::test(start_paused = true)]
async fn protocol_8_a_child_that_waits_for_its_supervisor_in_the_first_start_times_out() {
    let (_, [child]) = puppets(["child"]);
    let running = Gate::new();
    child.always(Moment::Starting, Behavior::Wait(running.clone()));
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(child.spec());
    let started = Supervisor::start("waited for", spec).await;
    let error = started.unwrap_err();
    running.open();
    assert!(matches!(error.root_cause(), StartError::TimedOut(_)), "{error}");
    assert_eq!(child.alive(), 0);
}

/// A child that spawns its actor first and then fails, or takes too long afterwards.
fn half_started(puppet: &Puppet, then: Behavior) -> ChildSpec {
    let puppet = puppet.clone();
    ChildSpec::from_fn("half", ChildKind::Worker, move |context| {
        let (puppet, then) = (puppet.clone(), then.clone());
        async move {
            let started = context.spawn(puppet.actor(), ()).await?;
            match then {
                Behavior::Hang => std::future::pending().await,
                Behavior::Panic(text) => panic!("{text}"),
                _ => drop(started),
            }
            Err::<Start, _>(StartError::failed("no desk"))
        }
    })
}

#[tokio::test(start_paused = true)]
async fn protocol_6_a_start_function_that_fails_after_it_has_spawned_leaves_no_actor() {
    for (then, expected) in [
        (Behavior::Fail("no desk"), "no desk"),
        (Behavior::Panic("no desk"), "the start function panicked: no desk"),
        (Behavior::Hang, "the start did not finish within 1s"),
    ] {
        let (log, [child]) = puppets(["child"]);
        let office = Office::of(Strategy::OneForOne, 3, &[]).await;
        let spec = half_started(&child, then).start_timeout(SECOND);
        let ChildError::Start { error: source, .. } = office.office.start_child(spec).await.unwrap_err() else {
            panic!("the start fails")
        };
        assert_eq!(source.root_cause().to_string(), expected);
        log.reached("child", Moment::Dropped, 1).await;
        assert_eq!((child.alive(), log.count("child", Moment::StateDropped)), (0, 1));
        assert_eq!(counts(&office.office).await, [0, 0, 0, 0]);
        office.close().await;
    }
}

#[tokio::test]
async fn protocol_6_a_start_function_that_panics_on_a_restart_counts_as_a_failed_start() {
    let (_, [child]) = puppets(["child"]);
    let mut office = Office::of(Strategy::OneForOne, 2, &[&child]).await;
    child.next(Moment::Called, Behavior::Panic("no desk"));
    child.latest().kill();
    assert!(office.reports.start_failed("child").await.contains("no desk"));
    office.reports.restarted("child").await;
    // That made two restarts; the next exceeds the intensity.
    child.latest().kill();
    assert_eq!(office.ended().await, shutdown());
}

#[tokio::test]
async fn protocol_4_a_start_that_fails_is_undone_in_reverse_order_and_reports_the_childs_own_cause() {
    let (log, [a, b, c, never]) = puppets(["a", "b", "c", "never"]);
    c.always(Moment::Starting, Behavior::Fail("no desk"));
    let children = [&a, &b, &c, &never].map(Puppet::spec);
    let error =
        Supervisor::start("undone", SupervisorSpec::new(Strategy::OneForAll).children(children)).await.unwrap_err();
    assert_eq!(error.to_string(), "child c did not start: no desk");
    let order = ["a up", "b up", "b down", "b dropped", "a down", "a dropped"];
    let mut lines = log.of(&[Moment::Up, Moment::Down, Moment::Dropped]);
    lines.retain(|line| !line.starts_with('c'));
    assert_eq!(lines, order);
    assert_eq!(log.count("never", Moment::Called), 0);
}

#[tokio::test]
async fn protocol_4_an_invalid_specification_is_refused_before_any_child_starts() {
    let (log, [a]) = puppets(["a"]);
    let twice = SupervisorSpec::new(Strategy::OneForOne).children([a.spec(), a.spec()]);
    let error = Supervisor::start("refused", twice).await.unwrap_err();
    assert!(matches!(&error, StartError::Spec(SpecError::DuplicateId { id }) if id.as_str() == "a"), "{error}");

    let nameless = SupervisorSpec::new(Strategy::OneForOne).children([a.spec(), Puppet::new("", &log).spec()]);
    let error = Supervisor::start("refused", nameless).await.unwrap_err();
    assert!(matches!(error, StartError::Spec(SpecError::EmptyId)), "{error}");

    let no_time = RestartIntensity::new(1, Duration::ZERO);
    let no_time = SupervisorSpec::new(Strategy::OneForOne).intensity(no_time).child(a.spec());
    let error = Supervisor::start("refused", no_time).await.unwrap_err();
    assert!(matches!(error, StartError::Spec(SpecError::ZeroPeriod { max_restarts: 1 })), "{error}");

    assert_eq!(log.of(&[Moment::Called]), Vec::<String>::new());
}
