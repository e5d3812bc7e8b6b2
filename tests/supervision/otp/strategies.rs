//! 1.6: which children are restarted together, and when a supervisor gives up.

use std::sync::{Arc, Weak};
use std::time::Duration;

use foundation::ractor::ActorId;
use foundation::supervision::{ChildEvent, ChildKind, RestartIntensity, Shutdown, Stopped, SupervisorSpec};
use foundation::{ChildSpec, Restart, Strategy};
use foundation_testkit::{Behavior, Command, Gate, Log, Moment, Puppet};
use tokio::time::{Instant, advance};

use super::{Agency, Office, at_rest, counts, puppets, shutdown, states};

fn ids<const N: usize>(puppets: &[Puppet; N]) -> [ActorId; N] {
    puppets.each_ref().map(Puppet::id)
}

fn fail(puppet: &Puppet) {
    puppet.order(Command::Fail("broken"));
}

/// The office has given up over this child: no child is left, and it ended with the reason `shutdown`.
async fn gives_up<const N: usize>(office: &mut Office, over: &str, puppets: &[Puppet; N]) {
    assert_eq!(office.reports.gave_up().await, over);
    assert_eq!(office.ended().await, shutdown());
    assert_eq!(puppets.each_ref().map(Puppet::alive), [0; N]);
}

#[tokio::test(start_paused = true)]
async fn otp_41_restarts_that_are_spaced_beyond_the_period_never_exceed_the_intensity() {
    let (_, [child]) = puppets(["child"]);
    let intensity = RestartIntensity::new(1, Duration::from_secs(1));
    let mut office =
        Office::open(SupervisorSpec::new(Strategy::OneForOne).intensity(intensity).child(child.spec())).await;
    for _ in 0..4 {
        fail(&child);
        office.reports.restarted("child").await;
        advance(Duration::from_millis(1001)).await;
    }
    // The same without the pause exceeds the intensity.
    fail(&child);
    office.reports.restarted("child").await;
    fail(&child);
    gives_up(&mut office, "child", &[child]).await;
}

#[tokio::test]
async fn otp_42_one_for_one_replaces_only_the_failed_child() {
    let (log, both) = puppets(["a", "b"]);
    let [a, b] = &both;
    let mut office = Office::of(Strategy::OneForOne, 2, &[a, b]).await;
    let before = ids(&both);
    fail(a);
    let replaced = office.reports.restarted("a").await;
    assert_eq!(ids(&both), [replaced, before[1]]);
    assert_ne!(replaced, before[0]);
    assert_eq!(counts(&office.office).await, [2, 2, 0, 2]);
    assert_eq!(log.count("b", Moment::Stopping), 0);
    // The limit is for all children together.
    fail(b);
    office.reports.restarted("b").await;
    fail(b);
    gives_up(&mut office, "b", &both).await;
}

#[tokio::test]
async fn otp_43_a_child_that_cannot_restart_exceeds_the_intensity_and_its_sibling_is_stopped() {
    let (log, both) = puppets(["a", "b"]);
    let [a, b] = &both;
    let mut office = Office::of(Strategy::OneForOne, 4, &[a, b]).await;
    a.always(Moment::Starting, Behavior::Fail("no desk"));
    fail(a);
    gives_up(&mut office, "a", &both).await;
    // One start at the beginning, and one for each of the four restarts.
    assert_eq!(log.count("a", Moment::Starting), 5);
    assert_eq!(log.count("b", Moment::Down), 1);
}

#[tokio::test]
async fn otp_44_one_for_all_replaces_every_child() {
    let (log, all) = puppets(["a", "b", "c"]);
    let [a, b, c] = &all;
    let mut office = Office::of(Strategy::OneForAll, 2, &[a, b, c]).await;
    let before = ids(&all);
    log.clear();
    fail(b);
    office.reports.restarted("c").await;
    assert!(ids(&all).iter().all(|id| !before.contains(id)));
    assert_eq!(counts(&office.office).await, [3, 3, 0, 3]);
    assert_eq!(log.of(&[Moment::Up, Moment::Down]), ["c down", "a down", "a up", "b up", "c up"]);
    fail(b);
    office.reports.restarted("c").await;
    fail(b);
    gives_up(&mut office, "b", &all).await;
}

/// Two simultaneous failures are one reason to restart, not two.
#[tokio::test]
async fn otp_44_siblings_that_fail_together_are_restarted_once() {
    let (log, both) = puppets(["a", "b"]);
    let [a, b] = &both;
    let mut office = Office::of(Strategy::OneForAll, 1, &[a, b]).await;
    // The first restart is held in the start of a; meanwhile b ends as well, before or after it is stopped.
    let gate = Gate::new();
    b.next(Moment::Stopping, Behavior::Wait(gate.clone()));
    fail(a);
    log.reached("b", Moment::Stopping, 1).await;
    b.latest().kill();
    gate.open();
    office.reports.restarted("b").await;
    assert_eq!([log.count("a", Moment::Up), log.count("b", Moment::Up)], [2, 2]);
    office.close().await;
}

#[tokio::test]
async fn otp_45_a_sibling_that_cannot_restart_escalates() {
    let (_, both) = puppets(["a", "b"]);
    let [a, b] = &both;
    let mut office = Office::of(Strategy::OneForAll, 4, &[a, b]).await;
    b.always(Moment::Starting, Behavior::Fail("no desk"));
    fail(a);
    gives_up(&mut office, "b", &both).await;
}

#[tokio::test]
async fn otp_46_a_child_that_is_up_again_is_stopped_again_if_a_later_one_fails_to_restart() {
    let (log, both) = puppets(["a", "b"]);
    let [a, b] = &both;
    let mut office = Office::of(Strategy::OneForAll, 3, &[a, b]).await;
    b.next(Moment::Starting, Behavior::Fail("not yet"));
    log.clear();
    fail(a);
    office.reports.restarted("b").await;
    let order = ["b down", "a starting", "a up", "b starting", "a down", "a starting", "a up", "b starting", "b up"];
    assert_eq!(log.of(&[Moment::Starting, Moment::Up, Moment::Down]), order);
    office.close().await;
}

#[tokio::test]
async fn otp_47_of_dynamic_children_only_the_failed_one_is_replaced() {
    let (log, both) = puppets(["a", "b"]);
    let [a, b] = &both;
    let mut agency = Agency::of(2, &[a, b]).await;
    let before = ids(&both);
    fail(a);
    let replaced = agency.reports.restarted("a").await;
    assert_eq!(ids(&both), [replaced, before[1]]);
    assert_eq!(log.count("b", Moment::Stopping), 0);
    fail(b);
    agency.reports.restarted("b").await;
    fail(b);
    assert_eq!(agency.reports.gave_up().await, "b");
    assert_eq!(agency.ended().await, shutdown());
    assert_eq!([a.alive(), b.alive()], [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn otp_48_dynamic_children_stop_together_and_the_slow_one_is_killed() {
    let (log, [a, b, slow]) = puppets(["a", "b", "slow"]);
    let second = Duration::from_secs(1);
    a.always(Moment::Stopping, Behavior::Take(second));
    b.always(Moment::Stopping, Behavior::Take(second));
    slow.always(Moment::Stopping, Behavior::Take(5 * second));
    let mut agency = Agency::of(0, &[]).await;
    for child in [&a, &b, &slow] {
        agency.agency.start_child(child.spec().shutdown(Shutdown::Timeout(2 * second))).await.unwrap();
    }
    let begun = Instant::now();
    agency.top.shutdown().await;
    assert_eq!(begun.elapsed(), 2 * second);
    assert_eq!(log.count("slow", Moment::Down), 0);
    assert_eq!([a, b, slow].map(|child| child.alive()), [0, 0, 0]);
    let killed = |report: &foundation::supervision::Report| {
        matches!(report.happened, ChildEvent::Stopped { how: Stopped::Killed, .. })
    };
    let killed: Vec<_> =
        agency.reports.rest().into_iter().filter(killed).map(|report| report.child.to_string()).collect();
    assert_eq!(killed, ["slow"]);
}

#[tokio::test]
async fn otp_50_a_dynamic_child_that_cannot_restart_stops_the_supervisor_and_its_siblings() {
    let (log, both) = puppets(["a", "b"]);
    let [a, b] = &both;
    let mut agency = Agency::of(4, &[a, b]).await;
    a.always(Moment::Called, Behavior::Panic("no desk"));
    fail(a);
    assert_eq!(agency.reports.gave_up().await, "a");
    assert_eq!(agency.ended().await, shutdown());
    assert_eq!(log.count("a", Moment::Called), 5);
    assert_eq!([a.alive(), b.alive()], [0, 0]);
}

/// A child whose start function holds a value, and a weak reference to it.
pub(super) fn laden(id: &str, restart: Restart) -> (ChildSpec, Weak<()>) {
    let load = Arc::new(());
    let held = Arc::downgrade(&load);
    let puppet = Puppet::new(id, &Log::new());
    let spec = ChildSpec::from_fn(id, ChildKind::Worker, move |context| {
        let (puppet, _load) = (puppet.clone(), Arc::clone(&load));
        async move { context.spawn(puppet.actor(), ()).await }
    });
    (spec.restart(restart), held)
}

#[tokio::test]
async fn otp_51_a_temporary_dynamic_child_does_not_keep_its_start_function() {
    let agency = Agency::of(0, &[]).await;
    for (restart, kept) in [(Restart::Temporary, 0), (Restart::Transient, 1), (Restart::Permanent, 1)] {
        let (spec, load) = laden("a", restart);
        agency.agency.start_child(spec).await.unwrap();
        assert_eq!(load.strong_count(), kept, "{restart}");
    }
    agency.close().await;
}

#[tokio::test]
async fn otp_52_a_dynamic_child_that_is_not_wanted_on_restart_is_removed() {
    let (_, [child]) = puppets(["child"]);
    let mut agency = Agency::of(1, &[&child]).await;
    child.always(Moment::Called, Behavior::Ignore);
    fail(&child);
    let ignored =
        |report: &foundation::supervision::Report| matches!(report.happened, ChildEvent::Ignored).then_some(());
    agency.reports.find("being ignored", ignored).await;
    assert_eq!(agency.agency.which_children().await.unwrap(), []);
    agency.close().await;
}

#[tokio::test]
async fn otp_53_rest_for_one_replaces_the_failed_child_and_the_later_ones() {
    let (log, all) = puppets(["a", "b", "c"]);
    let [a, b, c] = &all;
    let mut office = Office::of(Strategy::RestForOne, 2, &[a, b, c]).await;
    let before = ids(&all);
    log.clear();
    fail(b);
    office.reports.restarted("c").await;
    let after = ids(&all);
    assert_eq!(after[0], before[0]);
    assert!(after[1..].iter().all(|id| !before.contains(id)));
    assert_eq!(log.of(&[Moment::Up, Moment::Down]), ["c down", "b up", "c up"]);
    assert_eq!(counts(&office.office).await, [3, 3, 0, 3]);
    fail(c);
    office.reports.restarted("c").await;
    assert_eq!(ids(&all)[..2], after[..2]);
    fail(b);
    gives_up(&mut office, "b", &all).await;
}

#[tokio::test]
async fn otp_54_a_later_child_that_cannot_restart_escalates() {
    let (log, all) = puppets(["a", "b", "c"]);
    let [a, b, c] = &all;
    let mut office = Office::of(Strategy::RestForOne, 4, &[a, b, c]).await;
    c.always(Moment::Starting, Behavior::Fail("no desk"));
    fail(b);
    gives_up(&mut office, "c", &all).await;
    assert_eq!(log.count("a", Moment::Up), 1);
    assert_eq!(log.count("b", Moment::Up), 2);
}

#[tokio::test]
async fn otp_55_the_retry_begins_with_the_child_that_failed_to_restart() {
    let (log, all) = puppets(["a", "b", "c"]);
    let [a, b, c] = &all;
    let mut office = Office::of(Strategy::RestForOne, 3, &[a, b, c]).await;
    b.next(Moment::Starting, Behavior::Fail("not yet"));
    log.clear();
    fail(a);
    office.reports.restarted("c").await;
    let order = ["c down", "b down", "a starting", "a up", "b starting", "b starting", "b up", "c starting", "c up"];
    assert_eq!(log.of(&[Moment::Starting, Moment::Up, Moment::Down]), order);
    assert_eq!(states(&at_rest(&office.office).await), ["c running", "b running", "a running"]);
    office.close().await;
}
