//! An actor is gone when its task is done, and a supervisor when its subtree is gone: only then a replacement begins.

use std::sync::mpsc;

use foundation::Strategy;
use foundation::supervision::ExitReason;
use foundation_testkit::{Behavior, Command, Gate, Log, Moment, Puppet, soon};

use super::family;
use crate::otp::{End, Office, STRATEGIES, puppets, states};

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
    a_replacement_begins_when_its_predecessor_is_gone(|child| child.order(Command::Stop(None))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn protocol_1_a_replacement_begins_when_a_killed_child_is_gone() {
    a_replacement_begins_when_its_predecessor_is_gone(|child| child.latest().kill()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn protocol_1_a_replacement_begins_when_a_panicked_child_is_gone() {
    a_replacement_begins_when_its_predecessor_is_gone(|child| child.order(Command::Panic("cracked"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn protocol_1_a_replacement_begins_when_a_failed_child_is_gone() {
    a_replacement_begins_when_its_predecessor_is_gone(|child| child.order(Command::Fail("broken"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn protocol_1_a_replacement_begins_when_a_child_that_failed_in_post_stop_is_gone() {
    a_replacement_begins_when_its_predecessor_is_gone(|child| {
        child.next(Moment::Stopping, Behavior::Fail("broken on the way out"));
        child.order(Command::Stop(None));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn protocol_1_a_replacement_begins_when_a_child_that_panicked_in_post_stop_is_gone() {
    a_replacement_begins_when_its_predecessor_is_gone(|child| {
        child.next(Moment::Stopping, Behavior::Panic("cracked on the way out"));
        child.order(Command::Stop(None));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn protocol_1_a_replacement_begins_when_a_child_that_failed_in_post_start_is_gone() {
    a_replacement_begins_when_its_predecessor_is_gone(|child| {
        child.next(Moment::Started, Behavior::Fail("broken on the way in"));
        child.latest().kill();
    })
    .await;
}

/// ractor reports the end before the handler is dropped. The destructor blocks until the supervisor has read that.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn protocol_1_a_slow_destructor_delays_the_replacement() {
    let ends: [End; 4] = [
        |child| child.order(Command::Stop(None)),
        |child| child.latest().kill(),
        |child| child.order(Command::Panic("cracked")),
        |child| child.order(Command::Fail("broken")),
    ];
    for strategy in STRATEGIES {
        for end in ends {
            let (log, [child]) = puppets(["child"]);
            let mut office = Office::of(strategy, 1, &[&child]).await;
            let (release, released) = mpsc::channel();
            child.hold(released);
            end(&child);
            office.reports.exited("child").await;
            for _ in 0..100 {
                assert_eq!(states(&office.office.which_children().await.unwrap()), ["child stopping"]);
            }
            assert_eq!(log.count("child", Moment::Called), 1);
            drop(release);
            office.reports.restarted("child").await;
            assert_eq!(child.overlaps(), 0);
            office.close().await;
        }
    }
}

/// ractor reports a child's end when its `post_stop` is over, but not its destructors.
#[tokio::test]
async fn protocol_1_post_stop_is_over_before_the_replacement_begins() {
    let (log, [child]) = puppets(["child"]);
    let gate = Gate::new();
    let mut office = Office::of(Strategy::OneForOne, 3, &[&child]).await;
    child.next(Moment::Stopping, Behavior::Wait(gate.clone()));
    child.order(Command::Stop(None));
    log.reached("child", Moment::Stopping, 1).await;
    gate.open();
    office.reports.restarted("child").await;
    let order = ["child stopping", "child down", "child state dropped", "child dropped", "child called"];
    let all = [Moment::Called, Moment::Stopping, Moment::Down, Moment::StateDropped, Moment::Dropped];
    assert_eq!(log.of(&all)[1..], order);
    office.close().await;
}

/// Found by the simulation. A killed actor's state is in its exit event. The event may lie unread when the plan of a
/// sibling that ended just before it stops and replaces it as well.
#[tokio::test]
async fn protocol_1_a_replacement_begins_when_the_state_in_an_unread_event_is_dropped() {
    let (log, [killed, failing]) = puppets(["killed", "failing"]);
    let mut office = Office::of(Strategy::OneForAll, 3, &[&killed, &failing]).await;
    failing.order(Command::Fail("broken"));
    killed.latest().kill();
    office.reports.restarted("failing").await;
    office.close().await;
    one_life_after_the_other(&log, "killed", 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn protocol_1_a_killed_supervisor_is_replaced_when_all_its_descendants_are_gone() {
    let (_, children) = puppets(["a", "b", "c"]);
    let mut office = Office::open(family(&children.each_ref()).1).await;
    for _ in 0..200 {
        office.office.supervisor("inner").await.unwrap().unwrap().actor().unwrap().kill();
        assert_eq!(office.reports.exited("inner").await, ExitReason::Killed);
        office.reports.restarted("inner").await;
    }
    office.close().await;
    assert_eq!(children.each_ref().map(Puppet::overlaps), [0, 0, 0]);
    assert_eq!(children.each_ref().map(Puppet::alive), [0, 0, 0]);
}

/// A kill takes effect only when the actor's task yields: here one descendant does not yield for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn protocol_1_a_descendant_that_does_not_yield_to_the_kill_delays_the_replacement() {
    let (log, [deaf]) = puppets(["deaf"]);
    let mut office = Office::open(family(&[&deaf]).1).await;
    let (release, released) = mpsc::channel();
    deaf.order(Command::Block(released));
    log.reached("deaf", Moment::Blocked, 1).await;
    let inner = office.office.supervisor("inner").await.unwrap().unwrap();
    inner.actor().unwrap().kill();
    office.reports.exited("inner").await;
    soon("the killed supervisor's own end", inner.actor().unwrap().wait(None)).await.unwrap();
    for _ in 0..100 {
        assert_eq!(states(&office.office.which_children().await.unwrap()), ["inner stopping"]);
    }
    assert_eq!(log.count("deaf", Moment::Called), 1);
    drop(release);
    office.reports.restarted("inner").await;
    assert_eq!(deaf.overlaps(), 0);
    office.close().await;
}
