//! What a supervisor promises beyond OTP's suite, because ractor's events come before an actor is gone, and because it
//! stays responsive while a child starts.

use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use foundation::ractor::{Actor, SpawnErr};
use foundation::{
    ChildError, ChildSpec, ExitReason, Happened, Report, Reporter, Restart, RestartIntensity, SpecError, StartError,
    Stopped, Strategy, Supervisor, SupervisorSpec, check_stop_reason,
};
use foundation_tests::{Conduct, Gate, Log, Moment, Order, Puppet, Question, Witness, soon};

use super::{Agency, Office, STRATEGIES, at_most, at_rest, counts, shutdown, told};

const SECOND: Duration = Duration::from_secs(1);

fn puppets<const N: usize>(names: [&str; N]) -> (Log, [Puppet; N]) {
    let log = Log::new();
    let puppets = names.map(|name| Puppet::new(name, &log));
    (log, puppets)
}

// ---- an actor is gone when its task is done ----

async fn a_replacement_begins_when_its_predecessor_is_gone(end: impl Fn(&Puppet)) {
    for strategy in STRATEGIES {
        let (log, [child, sibling]) = puppets(["child", "sibling"]);
        let mut office = Office::of(strategy, 100, &[&child, &sibling]).await;
        for _ in 0..20 {
            end(&child);
            office.reports.restarted("child").await;
            if strategy != Strategy::OneForOne {
                office.reports.restarted("sibling").await;
            }
        }
        office.close().await;
        assert_eq!((child.overlaps(), sibling.overlaps()), (0, 0));
        one_life_after_the_other(&log, "child", 21);
        one_life_after_the_other(&log, "sibling", if strategy == Strategy::OneForOne { 1 } else { 21 });
    }
}

/// Each life begins with `starting` and ends with both destructors, in whichever order, before the next begins.
fn one_life_after_the_other(log: &Log, who: &str, lives: usize) {
    let mut moments = log.of(&[Moment::Starting, Moment::StateDropped, Moment::Dropped]);
    moments.retain(|line| line.starts_with(who));
    assert!(moments.len() >= 3 * lives, "{moments:?}");
    for life in moments.chunks(3) {
        assert_eq!(life[0], format!("{who} starting"), "{moments:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn protocol_1_a_replacement_begins_when_a_stopped_child_is_gone() {
    a_replacement_begins_when_its_predecessor_is_gone(|child| child.order(Order::Stop(None))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn protocol_1_a_replacement_begins_when_a_killed_child_is_gone() {
    a_replacement_begins_when_its_predecessor_is_gone(|child| child.latest().kill()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn protocol_1_a_replacement_begins_when_a_panicked_child_is_gone() {
    a_replacement_begins_when_its_predecessor_is_gone(|child| child.order(Order::Panic("cracked"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn protocol_1_a_replacement_begins_when_a_failed_child_is_gone() {
    a_replacement_begins_when_its_predecessor_is_gone(|child| child.order(Order::Fail("broken"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn protocol_1_a_replacement_begins_when_a_child_that_failed_in_post_stop_is_gone() {
    a_replacement_begins_when_its_predecessor_is_gone(|child| {
        child.next(Moment::Stopping, Conduct::Fail("broken on the way out"));
        child.order(Order::Stop(None));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn protocol_1_a_replacement_begins_when_a_child_that_panicked_in_post_stop_is_gone() {
    a_replacement_begins_when_its_predecessor_is_gone(|child| {
        child.next(Moment::Stopping, Conduct::Panic("cracked on the way out"));
        child.order(Order::Stop(None));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn protocol_1_a_replacement_begins_when_a_child_that_failed_in_post_start_is_gone() {
    a_replacement_begins_when_its_predecessor_is_gone(|child| {
        child.next(Moment::Started, Conduct::Fail("broken on the way in"));
        child.latest().kill();
    })
    .await;
}

/// ractor reports a child's end while its `post_stop` is over, but not its destructors.
#[tokio::test]
async fn protocol_1_post_stop_is_over_before_the_replacement_begins() {
    let (log, [child]) = puppets(["child"]);
    let gate = Gate::new();
    let mut office = Office::of(Strategy::OneForOne, 3, &[&child]).await;
    child.next(Moment::Stopping, Conduct::Wait(gate.clone()));
    child.order(Order::Stop(None));
    log.reached("child", Moment::Stopping, 1).await;
    gate.open();
    office.reports.restarted("child").await;
    let order = ["child stopping", "child down", "child state dropped", "child dropped", "child called"];
    let all = [Moment::Called, Moment::Stopping, Moment::Down, Moment::StateDropped, Moment::Dropped];
    assert_eq!(log.of(&all)[1..], order);
    office.close().await;
}

fn family(inner: &[&Puppet]) -> (SupervisorSpec, SupervisorSpec) {
    let inner = SupervisorSpec::new(Strategy::OneForOne).children(inner.iter().map(|puppet| puppet.spec()));
    let outer = SupervisorSpec::new(Strategy::OneForOne)
        .intensity(at_most(1000))
        .child(ChildSpec::supervisor("inner", inner.clone()));
    (inner, outer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn protocol_1_a_killed_supervisor_is_replaced_when_all_its_descendants_are_gone() {
    let (_, children) = puppets(["a", "b", "c"]);
    let mut office = Office::open(family(&children.each_ref()).1).await;
    for _ in 0..200 {
        office.office.supervisor("inner").await.unwrap().unwrap().actor().kill();
        assert_eq!(office.reports.exited("inner").await, ExitReason::Killed);
        office.reports.restarted("inner").await;
    }
    office.close().await;
    assert_eq!(children.each_ref().map(Puppet::overlaps), [0, 0, 0]);
    assert_eq!(children.each_ref().map(Puppet::alive), [0, 0, 0]);
}

/// A kill reaches an actor only when its task yields: here one descendant does not, for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn protocol_1_a_descendant_that_is_deaf_to_the_kill_holds_up_the_replacement() {
    let (log, [deaf]) = puppets(["deaf"]);
    let mut office = Office::open(family(&[&deaf]).1).await;
    let (release, released) = mpsc::channel();
    deaf.order(Order::Block(released));
    let inner = office.office.supervisor("inner").await.unwrap().unwrap();
    inner.actor().kill();
    office.reports.exited("inner").await;
    soon("the killed supervisor's own end", inner.actor().wait(None)).await.unwrap();
    for _ in 0..100 {
        assert_eq!(told(&office.office.which_children().await.unwrap()), ["inner stopping"]);
    }
    assert_eq!(log.count("deaf", Moment::Called), 1);
    drop(release);
    office.reports.restarted("inner").await;
    assert_eq!(deaf.overlaps(), 0);
    office.close().await;
}

// ---- a supervisor stays responsive ----

#[tokio::test]
async fn protocol_5_a_supervisor_answers_while_a_child_hangs_in_its_restart() {
    for strategy in STRATEGIES {
        let (log, [child]) = puppets(["child"]);
        let office = Office::of(strategy, 3, &[&child]).await;
        child.always(Moment::Starting, Conduct::Hang);
        child.latest().kill();
        log.reached("child", Moment::Starting, 2).await;
        let children = soon("an answer", office.office.which_children()).await.unwrap();
        assert_eq!(told(&children), ["child restarting"]);
        assert_eq!(counts(&office.office).await, [1, 0, 0, 1]);
        assert!(office.office.child("child").await.unwrap().is_none());
        office.close().await;
        assert_eq!(child.alive(), 0);
    }
}

#[tokio::test]
async fn protocol_5_a_hanging_start_does_not_hold_up_the_restart_of_a_sibling_under_one_for_one() {
    let (log, [hanging, other]) = puppets(["hanging", "other"]);
    let mut office = Office::of(Strategy::OneForOne, 3, &[&hanging, &other]).await;
    hanging.always(Moment::Starting, Conduct::Hang);
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
        child.next(Moment::Starting, Conduct::Hang);
        child.latest().kill();
        log.reached("child", Moment::Starting, 2).await;
        soon("the termination", office.office.terminate_child("child")).await.unwrap();
        assert_eq!(child.alive(), 0);
        // Whoever was to be restarted with it is: only this child was terminated.
        assert_eq!(told(&at_rest(&office.office).await), ["later running", "child stopped"]);
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
        child.next(Moment::Starting, Conduct::Hang);
        let (sup, spec) = (office.office.clone(), child.spec());
        let starting = tokio::spawn(async move { sup.start_child(spec).await });
        log.reached("child", Moment::Starting, 1).await;
        assert_eq!(told(&office.office.which_children().await.unwrap()), ["child starting"]);
        soon("the termination", office.office.terminate_child("child")).await.unwrap();
        let error = soon("the answer to the start", starting).await.unwrap().unwrap_err();
        assert!(matches!(error, ChildError::Start { source: StartError::Terminated, .. }), "{error:?}");
        assert_eq!(child.alive(), 0);
        // A start that failed keeps no specification.
        assert_eq!(counts(&office.office).await, [0, 0, 0, 0]);
        office.close().await;
    }
}

/// Under one-for-all a start waits for its turn behind another one; terminated there, it never comes to it.
#[tokio::test]
async fn protocol_5_a_child_whose_first_start_waits_for_its_turn_can_be_terminated() {
    let (log, [hanging, waiting]) = puppets(["hanging", "waiting"]);
    let office = Office::of(Strategy::OneForAll, 3, &[]).await;
    hanging.next(Moment::Starting, Conduct::Hang);
    let mut starts = Vec::new();
    for child in [&hanging, &waiting] {
        let (sup, spec) = (office.office.clone(), child.spec());
        starts.push(tokio::spawn(async move { sup.start_child(spec).await }));
    }
    log.reached("hanging", Moment::Starting, 1).await;
    assert_eq!(told(&office.office.which_children().await.unwrap()), ["waiting starting", "hanging starting"]);
    soon("the termination", office.office.terminate_child("waiting")).await.unwrap();
    let waited = soon("the answer to the start", starts.pop().unwrap()).await.unwrap();
    assert!(matches!(waited, Err(ChildError::Terminated)), "{waited:?}");
    // As with any start that came to nothing, the specification is not kept.
    assert_eq!(told(&office.office.which_children().await.unwrap()), ["hanging starting"]);
    soon("the termination", office.office.terminate_child("hanging")).await.unwrap();
    assert_eq!(log.count("waiting", Moment::Called), 0);
    assert_eq!(counts(&office.office).await, [0, 0, 0, 0]);
    office.close().await;
}

#[tokio::test]
async fn protocol_5_a_supervisor_that_hangs_in_its_first_start_is_terminated_with_all_that_it_has_started() {
    let (log, [early, hanging]) = puppets(["early", "hanging"]);
    let office = Office::of(Strategy::OneForOne, 3, &[]).await;
    hanging.always(Moment::Starting, Conduct::Hang);
    let (inner, _) = family(&[&early, &hanging]);
    let (sup, spec) = (office.office.clone(), ChildSpec::supervisor("inner", inner));
    let starting = tokio::spawn(async move { sup.start_child(spec).await });
    log.reached("hanging", Moment::Starting, 1).await;
    soon("the termination", office.office.terminate_child("inner")).await.unwrap();
    assert_eq!([early.alive(), hanging.alive()], [0, 0]);
    assert!(starting.await.unwrap().is_err());
    office.close().await;
}

/// The step that ends a start hears of it twice: from the start itself, which has just finished, and from its abort.
#[tokio::test]
async fn protocol_5_a_supervisor_answers_while_a_child_that_was_terminated_just_after_its_start_takes_its_time_to_stop() {
    let (log, [child]) = puppets(["child"]);
    let office = Office::of(Strategy::OneForOne, 3, &[&child]).await;
    let (up, down) = (Gate::new(), Gate::new());
    child.next(Moment::Starting, Conduct::Wait(up.clone()));
    child.next(Moment::Stopping, Conduct::Wait(down.clone()));
    child.latest().kill();
    log.reached("child", Moment::Starting, 2).await;
    // On one thread the start finishes before the supervisor reads the request, and its word comes after that.
    up.open();
    let mut terminated = Box::pin(office.office.terminate_child("child"));
    assert!(futures::poll!(&mut terminated).is_pending());
    log.reached("child", Moment::Stopping, 1).await;
    assert_eq!(told(&soon("an answer", office.office.which_children()).await.unwrap()), ["child stopping"]);
    down.open();
    soon("the termination", terminated).await.unwrap();
    assert_eq!(told(&office.office.which_children().await.unwrap()), ["child stopped"]);
    office.close().await;
}

/// A child of the same plan may be on its way up for ever; those that run can be stopped all the same.
#[tokio::test(start_paused = true)]
async fn protocol_5_a_sibling_can_be_terminated_while_a_child_fails_to_restart_again_and_again() {
    for strategy in STRATEGIES {
        let (log, [first, failing]) = puppets(["first", "failing"]);
        let children = [first.spec(), failing.spec().start_timeout(10 * SECOND)];
        // Slow enough never to be too often.
        let spec = SupervisorSpec::new(strategy).intensity(RestartIntensity::new(1, SECOND)).children(children);
        let office = Office::open(spec).await;
        failing.always(Moment::Starting, Conduct::Hang);
        failing.latest().kill();
        log.reached("failing", Moment::Starting, 3).await;
        soon("the termination", office.office.terminate_child("first")).await.unwrap();
        office.close().await;
    }
}

// ---- the end ----

#[tokio::test]
async fn protocol_5_a_shutdown_aborts_a_start_under_way() {
    for strategy in STRATEGIES {
        let (log, [child, hanging]) = puppets(["child", "hanging"]);
        let office = Office::of(strategy, 3, &[&child]).await;
        hanging.always(Moment::Starting, Conduct::Hang);
        let (sup, spec) = (office.office.clone(), hanging.spec());
        let starting = tokio::spawn(async move { sup.start_child(spec).await });
        log.reached("hanging", Moment::Starting, 1).await;
        office.close().await;
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
    late.always(Moment::Starting, Conduct::Wait(gate.clone()));
    let (sup, spec) = (office.office.clone(), late.spec());
    let starting = tokio::spawn(async move { sup.start_child(spec).await });
    log.reached("late", Moment::Starting, 1).await;
    // On one thread the start finishes before the supervisor reads that it is to stop, which comes before the result.
    gate.open();
    office.close().await;
    assert_eq!(log.of(&[Moment::Up, Moment::Down]), ["first up", "late up", "late down", "first down"]);
    assert!(matches!(starting.await.unwrap(), Err(ChildError::NotRunning { .. })));
}

#[tokio::test]
async fn protocol_5_a_shutdown_lets_a_stop_under_way_finish() {
    let (log, [first, last]) = puppets(["first", "last"]);
    let gate = Gate::new();
    first.always(Moment::Stopping, Conduct::Wait(gate.clone()));
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
    office.office.actor().stop(Some("maintenance".into()));
    assert_eq!(office.ended().await, ExitReason::Shutdown("maintenance".into()));
    assert_eq!(log.of(&[Moment::Down]), ["c down", "b down", "a down"]);
    assert_eq!([a.alive(), b.alive(), c.alive()], [0, 0, 0]);
    office.close().await;
}

#[tokio::test]
async fn protocol_4_giving_up_is_an_ordered_shutdown() {
    let (log, [a, b, c]) = puppets(["a", "b", "c"]);
    let mut office = Office::of(Strategy::OneForOne, 0, &[&a, &b, &c]).await;
    b.order(Order::Fail("broken"));
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

/// Nobody is there to stop them in order; they are killed, and gone.
#[tokio::test]
async fn protocol_4_a_start_that_is_abandoned_leaves_nobody_behind() {
    let (log, [a, hanging]) = puppets(["a", "hanging"]);
    hanging.always(Moment::Starting, Conduct::Hang);
    let (inner, _) = family(&[&a, &hanging]);
    let abandoned = tokio::spawn(Supervisor::start("abandoned", inner));
    log.reached("hanging", Moment::Starting, 1).await;
    abandoned.abort();
    log.reached("a", Moment::Dropped, 1).await;
    log.reached("hanging", Moment::Dropped, 1).await;
    assert_eq!([a.alive(), hanging.alive()], [0, 0]);
}

// ---- starts that take too long, or say no ----

#[tokio::test(start_paused = true)]
async fn protocol_8_a_first_start_that_takes_too_long_fails_and_undoes_what_came_before() {
    let (log, [a, slow]) = puppets(["a", "slow"]);
    slow.always(Moment::Starting, Conduct::Hang);
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
    slow.next(Moment::Starting, Conduct::Take(29 * SECOND));
    assert!(office.office.start_child(slow.spec()).await.unwrap().is_some());
    office.office.terminate_child("slow").await.unwrap();
    slow.next(Moment::Starting, Conduct::Take(31 * SECOND));
    let error = office.office.restart_child("slow").await.unwrap_err();
    let ChildError::Start { source: StartError::TimedOut(limit), .. } = error else { panic!("{error}") };
    assert_eq!(limit, 30 * SECOND);
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn protocol_6_a_restart_that_takes_too_long_counts_as_one_and_is_tried_again() {
    let (log, [slow]) = puppets(["slow"]);
    let spec = slow.spec().start_timeout(SECOND);
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(3)).child(spec);
    let mut office = Office::open(spec).await;
    slow.next(Moment::Starting, Conduct::Hang);
    slow.latest().kill();
    assert!(office.reports.start_failed("slow").await.contains("1s"));
    office.reports.restarted("slow").await;
    slow.always(Moment::Starting, Conduct::Hang);
    slow.latest().kill();
    assert_eq!(office.ended().await, shutdown());
    assert_eq!(log.count("slow", Moment::Starting), 1 + 3);
    assert_eq!(slow.alive(), 0);
}

/// It can be answered: the start is a task of its own then, and the supervisor reads its messages.
#[tokio::test]
async fn protocol_8_a_child_that_asks_its_supervisor_in_pre_start_is_answered_on_a_restart() {
    for strategy in STRATEGIES {
        let (_, [child]) = puppets(["child"]);
        let mut office = Office::of(strategy, 3, &[&child]).await;
        let sup = office.office.clone();
        let heard = Arc::new(OnceLock::new());
        let said = Arc::clone(&heard);
        let ask = Question::new(move || {
            let (sup, said) = (sup.clone(), Arc::clone(&said));
            async move {
                let _ = said.set(told(&sup.which_children().await.unwrap()));
            }
        });
        child.next(Moment::Starting, Conduct::Ask(ask));
        child.latest().kill();
        office.reports.restarted("child").await;
        assert_eq!(heard.get().unwrap(), &["child restarting"]);
        office.close().await;
    }
}

/// It cannot be answered: the supervisor is in its own start. Whoever waits for it to run is ended by the time-out.
#[tokio::test(start_paused = true)]
async fn protocol_8_a_child_that_waits_for_its_supervisor_in_the_first_start_times_out() {
    let (_, [child]) = puppets(["child"]);
    let running = Gate::new();
    child.always(Moment::Starting, Conduct::Wait(running.clone()));
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(child.spec());
    let started = Supervisor::start("waited for", spec).await;
    let error = started.unwrap_err();
    running.open();
    assert!(matches!(error.root_cause(), StartError::TimedOut(_)), "{error}");
    assert_eq!(child.alive(), 0);
}

#[tokio::test]
async fn protocol_6_a_start_function_that_panics_on_a_restart_counts_as_a_failed_start() {
    let (_, [child]) = puppets(["child"]);
    let mut office = Office::of(Strategy::OneForOne, 2, &[&child]).await;
    child.next(Moment::Called, Conduct::Panic("no desk"));
    child.latest().kill();
    assert!(office.reports.start_failed("child").await.contains("no desk"));
    office.reports.restarted("child").await;
    // That made two restarts; the next is one too many.
    child.latest().kill();
    assert_eq!(office.ended().await, shutdown());
}

#[tokio::test]
async fn protocol_4_a_start_that_fails_is_undone_in_reverse_order_and_tells_the_childs_own_cause() {
    let (log, [a, b, c, never]) = puppets(["a", "b", "c", "never"]);
    c.always(Moment::Starting, Conduct::Fail("no desk"));
    let children = [&a, &b, &c, &never].map(Puppet::spec);
    let error = Supervisor::start("undone", SupervisorSpec::new(Strategy::OneForAll).children(children)).await.unwrap_err();
    assert_eq!(error.to_string(), "child c did not start: no desk");
    let order = ["a up", "b up", "b down", "b dropped", "a down", "a dropped"];
    let mut lines = log.of(&[Moment::Up, Moment::Down, Moment::Dropped]);
    lines.retain(|line| !line.starts_with('c'));
    assert_eq!(lines, order);
    assert_eq!(log.count("never", Moment::Called), 0);
}

#[tokio::test]
async fn protocol_4_what_no_supervisor_can_run_is_refused_before_anything_starts() {
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

// ---- events that mean nothing, and actors that nobody knows ----

#[tokio::test]
async fn protocol_6_the_end_of_a_child_that_is_being_stopped_is_no_failure() {
    for strategy in STRATEGIES {
        let (log, [child]) = puppets(["child"]);
        let office = Office::of(strategy, 0, &[&child]).await;
        child.next(Moment::Stopping, Conduct::Panic("cracked on the way out"));
        office.office.terminate_child("child").await.unwrap();
        assert_eq!(told(&at_rest(&office.office).await), ["child stopped"]);
        office.office.restart_child("child").await.unwrap().unwrap();
        // The event of the first incarnation has long been read; it means nothing to the second one.
        assert_eq!(told(&at_rest(&office.office).await), ["child running"]);
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
            assert_eq!(told(&office.office.which_children().await.unwrap()), ["child stopped"]);
            assert_eq!(child.alive(), 0);
            office.office.restart_child("child").await.unwrap();
        }
        office.close().await;
    }
}

#[tokio::test]
async fn protocol_6_a_stray_that_fails_is_none_of_the_supervisors_business() {
    let (log, [child, stray]) = puppets(["child", "stray"]);
    let mut office = Office::of(Strategy::OneForAll, 0, &[&child]).await;
    let mut witness = Witness::new().await;
    for (end, text) in [(Order::Fail("broken"), "broken"), (Order::Stop(Some("shutdown")), "shutdown")] {
        let actor = Actor::spawn_linked(None, stray.actor(), (), office.office.actor().clone()).await.unwrap().0;
        witness.watch(&actor);
        stray.order(end);
        assert_eq!(witness.end_of(actor.get_id()).await, text);
        log.reached("stray", Moment::Dropped, log.count("stray", Moment::Starting)).await;
    }
    assert_eq!(told(&at_rest(&office.office).await), ["child running"]);
    assert_eq!(log.count("child", Moment::Up), 1);
    let heard = office.reports.rest();
    assert!(heard.iter().all(|report| report.child.as_str() != "stray"), "{heard:?}");
    office.close().await;
}

#[tokio::test]
async fn protocol_6_strays_are_stopped_at_the_shutdown_before_the_children() {
    let (log, [child, stray]) = puppets(["child", "stray"]);
    let office = Office::of(Strategy::OneForOne, 0, &[&child]).await;
    Actor::spawn_linked(None, stray.actor(), (), office.office.actor().clone()).await.unwrap();
    office.close().await;
    assert_eq!(log.of(&[Moment::Down]), ["stray down", "child down"]);
    log.reached("stray", Moment::Dropped, 1).await;
}

#[tokio::test(start_paused = true)]
async fn protocol_6_a_stray_that_does_not_stop_is_killed() {
    let (log, [stray]) = puppets(["stray"]);
    let mut office = Office::of(Strategy::OneForOne, 0, &[]).await;
    Actor::spawn_linked(None, stray.actor(), (), office.office.actor().clone()).await.unwrap();
    stray.order(Order::Hang);
    soon("shutdown", office.top.shutdown()).await;
    log.reached("stray", Moment::Dropped, 1).await;
    let killed = |report: &Report| matches!(report.happened, Happened::Stopped { how: Stopped::Killed, .. });
    assert_eq!(office.reports.rest().iter().filter(|report| killed(report)).count(), 1);
}

/// Its `pre_start` has run by then, its `post_stop` never will: its destructors have to be enough.
#[tokio::test]
async fn protocol_11_nobody_can_be_linked_to_a_supervisor_that_is_stopping() {
    let (log, [child, late]) = puppets(["child", "late"]);
    let gate = Gate::new();
    child.always(Moment::Stopping, Conduct::Wait(gate.clone()));
    let office = Office::of(Strategy::OneForOne, 0, &[&child]).await;
    let (actor, top) = (office.office.actor().clone(), office.top.clone());
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
    child.order(Order::Stop(Some("killed")));
    assert_eq!(office.reports.exited("child").await, ExitReason::Killed);
    office.reports.restarted("child").await;
    assert!(check_stop_reason("killed").is_err());
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
    a.order(Order::Fail("broken"));
    log.reached("b", Moment::Up, 2).await;
    assert_eq!(told(&at_rest(&sup).await), ["b running", "a running"]);
    soon("shutdown", sup.shutdown()).await;
    assert_eq!([a.alive(), b.alive()], [0, 0]);
}

#[tokio::test]
async fn protocol_a_dynamic_child_that_hangs_in_its_restart_is_terminated_by_its_latest_actor() {
    let (log, [child]) = puppets(["child"]);
    let agency = Agency::of(3, &[&child]).await;
    let actor = child.id();
    child.always(Moment::Starting, Conduct::Hang);
    child.latest().kill();
    log.reached("child", Moment::Starting, 2).await;
    soon("the termination", agency.agency.terminate_child(actor)).await.unwrap();
    assert_eq!(agency.agency.which_children().await.unwrap(), []);
    assert_eq!(child.alive(), 0);
    agency.close().await;
}
