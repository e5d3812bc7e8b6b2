//! A supervisor stays responsive while a child starts: it answers, restarts others, and can stop the hanging child.

use std::sync::mpsc;

use foundation::supervision::{ChildError, ChildKind, RestartIntensity, StartError, SupervisorSpec};
use foundation::{ChildSpec, Strategy};
use foundation_testkit::{Behavior, Gate, Moment, Puppet, assert_error, soon};

use super::{SECOND, family};
use crate::otp::{Office, STRATEGIES, at_rest, counts, puppets, states};

#[tokio::test]
async fn protocol_5_a_supervisor_answers_while_a_child_hangs_in_its_restart() {
    for strategy in STRATEGIES {
        let (log, [child]) = puppets(["child"]);
        let office = Office::of(strategy, 3, &[&child]).await;
        child.always(Moment::Starting, Behavior::Hang);
        child.latest().kill();
        log.reached("child", Moment::Starting, 2).await;
        let children = soon("an answer", office.office.which_children()).await.unwrap();
        assert_eq!(states(&children), ["child restarting"]);
        assert_eq!(counts(&office.office).await, [1, 0, 0, 1]);
        assert!(office.office.child("child").await.unwrap().is_none());
        office.close().await;
        assert_eq!(child.alive(), 0);
    }
}

#[tokio::test]
async fn protocol_5_a_hanging_start_does_not_delay_the_restart_of_a_sibling_under_one_for_one() {
    let (log, [hanging, other]) = puppets(["hanging", "other"]);
    let mut office = Office::of(Strategy::OneForOne, 3, &[&hanging, &other]).await;
    hanging.always(Moment::Starting, Behavior::Hang);
    hanging.latest().kill();
    log.reached("hanging", Moment::Starting, 2).await;
    other.latest().kill();
    office.reports.restarted("other").await;
    let third = Puppet::new("third", &log);
    assert!(soon("another start", office.office.start_child(third.spec())).await.unwrap().is_some());
    office.close().await;
}

#[tokio::test]
async fn protocol_5_a_child_that_hangs_in_its_restart_can_be_terminated_and_started_again() {
    for strategy in STRATEGIES {
        let (log, [child, later]) = puppets(["child", "later"]);
        let mut office = Office::of(strategy, 3, &[&child, &later]).await;
        child.next(Moment::Starting, Behavior::Hang);
        child.latest().kill();
        log.reached("child", Moment::Starting, 2).await;
        soon("the termination", office.office.terminate_child("child")).await.unwrap();
        assert_eq!(child.alive(), 0);
        // The later child is restarted all the same: only this child was terminated.
        assert_eq!(states(&at_rest(&office.office).await), ["later running", "child stopped"]);
        assert!(soon("the new start", office.office.restart_child("child")).await.unwrap().is_some());
        assert_eq!(office.office.which_children().await.unwrap()[1].restarts, 0);
        office.reports.rest();
        office.close().await;
    }
}

#[tokio::test]
async fn protocol_5_a_child_that_hangs_in_its_first_start_can_be_terminated() {
    for strategy in STRATEGIES {
        let (log, [child]) = puppets(["child"]);
        let office = Office::of(strategy, 3, &[]).await;
        child.next(Moment::Starting, Behavior::Hang);
        let (sup, spec) = (office.office.clone(), child.spec());
        let starting = tokio::spawn(async move { sup.start_child(spec).await });
        log.reached("child", Moment::Starting, 1).await;
        assert_eq!(states(&office.office.which_children().await.unwrap()), ["child starting"]);
        soon("the termination", office.office.terminate_child("child")).await.unwrap();
        let error = soon("the answer to the start", starting).await.unwrap().unwrap_err();
        assert!(matches!(error, ChildError::Start { error: StartError::Terminated, .. }), "{error:?}");
        assert_eq!(child.alive(), 0);
        // The specification of a failed first start is not kept.
        assert_eq!(counts(&office.office).await, [0, 0, 0, 0]);
        office.close().await;
    }
}

/// Under one-for-all a start waits for another one to finish; terminated while waiting, it never begins.
#[tokio::test]
async fn protocol_5_a_child_whose_first_start_waits_for_its_turn_can_be_terminated() {
    let (log, [hanging, waiting]) = puppets(["hanging", "waiting"]);
    let office = Office::of(Strategy::OneForAll, 3, &[]).await;
    hanging.next(Moment::Starting, Behavior::Hang);
    let mut starts = Vec::new();
    for child in [&hanging, &waiting] {
        let (sup, spec) = (office.office.clone(), child.spec());
        starts.push(tokio::spawn(async move { sup.start_child(spec).await }));
    }
    log.reached("hanging", Moment::Starting, 1).await;
    assert_eq!(states(&office.office.which_children().await.unwrap()), ["waiting starting", "hanging starting"]);
    soon("the termination", office.office.terminate_child("waiting")).await.unwrap();
    let waited = soon("the answer to the start", starts.pop().unwrap()).await.unwrap();
    assert!(matches!(waited, Err(ChildError::Terminated)), "{waited:?}");
    // As with any failed first start, the specification is not kept.
    assert_eq!(states(&office.office.which_children().await.unwrap()), ["hanging starting"]);
    soon("the termination", office.office.terminate_child("hanging")).await.unwrap();
    assert_eq!(log.count("waiting", Moment::Called), 0);
    assert_eq!(counts(&office.office).await, [0, 0, 0, 0]);
    office.close().await;
}

#[tokio::test]
async fn protocol_5_a_supervisor_that_hangs_in_its_first_start_is_terminated_with_all_that_it_has_started() {
    let (log, [early, hanging]) = puppets(["early", "hanging"]);
    let office = Office::of(Strategy::OneForOne, 3, &[]).await;
    hanging.always(Moment::Starting, Behavior::Hang);
    let (inner, _) = family(&[&early, &hanging]);
    let (sup, spec) = (office.office.clone(), ChildSpec::supervisor("inner", inner));
    let starting = tokio::spawn(async move { sup.start_child(spec).await });
    log.reached("hanging", Moment::Starting, 1).await;
    soon("the termination", office.office.terminate_child("inner")).await.unwrap();
    assert_eq!([early.alive(), hanging.alive()], [0, 0]);
    assert_error!(starting.await.unwrap(), ChildError::Start { .. });
    office.close().await;
}

/// As long as one of them exists, neither the termination nor a start that failed halfway is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn protocol_5_a_supervisor_that_did_not_start_is_gone_when_all_that_it_had_started_is() {
    for terminated in [true, false] {
        let (log, [early, hanging]) = puppets(["early", "hanging"]);
        let office = Office::of(Strategy::OneForOne, 3, &[]).await;
        hanging.always(Moment::Starting, Behavior::Hang);
        let (release, released) = mpsc::channel();
        early.hold(released);
        let patience = Gate::new();
        let inner = impatient(family(&[&early, &hanging]).0, &patience);
        let sup = office.office.clone();
        let starting = tokio::spawn(async move { sup.start_child(inner).await });
        log.reached("hanging", Moment::Starting, 1).await;
        let sup = office.office.clone();
        let ending = tokio::spawn(async move {
            match terminated {
                true => sup.terminate_child("inner").await.unwrap(),
                false => patience.open(),
            }
            assert_error!(starting.await.unwrap(), ChildError::Start { .. });
        });
        log.reached("hanging", Moment::Dropped, 1).await;
        for _ in 0..100 {
            office.office.which_children().await.unwrap();
        }
        assert!(!ending.is_finished());
        assert_eq!(early.alive(), 1);
        drop(release);
        soon("the end", ending).await.unwrap();
        assert_eq!(early.alive(), 0);
        office.close().await;
    }
}

/// A supervisor whose start function fails when the gate opens.
fn impatient(spec: SupervisorSpec, patience: &Gate) -> ChildSpec {
    let patience = patience.clone();
    ChildSpec::from_fn("inner", ChildKind::Supervisor, move |context| {
        let (spec, patience) = (spec.clone(), patience.clone());
        async move {
            tokio::select! {
                started = context.spawn_supervisor(spec) => started,
                () = patience.pass() => Err(StartError::failed("it takes too long")),
            }
        }
    })
}

/// The step that ends a start is notified twice: by the start itself, which has just finished, and by its abort.
#[tokio::test]
async fn protocol_5_a_supervisor_answers_while_a_child_that_was_terminated_just_after_its_start_stops_slowly() {
    let (log, [child]) = puppets(["child"]);
    let office = Office::of(Strategy::OneForOne, 3, &[&child]).await;
    let (up, down) = (Gate::new(), Gate::new());
    child.next(Moment::Starting, Behavior::Wait(up.clone()));
    child.next(Moment::Stopping, Behavior::Wait(down.clone()));
    child.latest().kill();
    log.reached("child", Moment::Starting, 2).await;
    // On one thread the start finishes before the supervisor reads the request, and its result comes after that.
    up.open();
    let mut terminated = Box::pin(office.office.terminate_child("child"));
    assert!(futures::poll!(&mut terminated).is_pending());
    log.reached("child", Moment::Stopping, 1).await;
    assert_eq!(states(&soon("an answer", office.office.which_children()).await.unwrap()), ["child stopping"]);
    down.open();
    soon("the termination", terminated).await.unwrap();
    assert_eq!(states(&office.office.which_children().await.unwrap()), ["child stopped"]);
    office.close().await;
}

/// A child of the same plan may be starting for ever; the running ones can be stopped all the same.
#[tokio::test(start_paused = true)]
async fn protocol_5_a_sibling_can_be_terminated_while_a_child_fails_to_restart_again_and_again() {
    for strategy in STRATEGIES {
        let (log, [first, failing]) = puppets(["first", "failing"]);
        let children = [first.spec(), failing.spec().start_timeout(10 * SECOND)];
        // Slow enough never to exceed the intensity.
        let spec = SupervisorSpec::new(strategy).intensity(RestartIntensity::new(1, SECOND)).children(children);
        let office = Office::open(spec).await;
        failing.always(Moment::Starting, Behavior::Hang);
        failing.latest().kill();
        log.reached("failing", Moment::Starting, 3).await;
        soon("the termination", office.office.terminate_child("first")).await.unwrap();
        office.close().await;
    }
}
