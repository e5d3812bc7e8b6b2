//! 1.7: children that leave the tree, and trees of several levels.

use foundation::supervision::{ChildError, ExitReason, SupervisorSpec};
use foundation::{ChildSpec, Restart, Strategy, Supervisor};
use foundation_testkit::{Behavior, Command, Log, Moment, Puppet, assert_error, soon};

use super::{Office, at_most, counts, shutdown, states};

/// There are no links here, but ractor lets an actor leave its supervisor. Its task is still known, so it can be stopped.
#[tokio::test]
async fn otp_56_a_child_that_unlinks_itself_can_be_terminated() {
    let log = Log::new();
    let (naughty, sibling) = (Puppet::new("naughty", &log), Puppet::new("sibling", &log));
    let office = Office::of(Strategy::OneForOne, 2, &[&naughty, &sibling]).await;
    naughty.latest().unlink(office.office.actor().unwrap());
    soon("the termination", office.office.terminate_child("naughty")).await.unwrap();
    assert_eq!((naughty.alive(), log.count("naughty", Moment::Down)), (0, 1));
    assert!(office.office.restart_child("naughty").await.unwrap().is_some());
    naughty.latest().unlink(office.office.actor().unwrap());
    office.close().await;
    assert_eq!([naughty.alive(), sibling.alive()], [0, 0]);
}

struct Tree {
    top: Office,
    static_ones: [Puppet; 2],
    dynamic_ones: [Puppet; 2],
}

/// OTP's: a one-for-all supervisor of three supervisors. The first one has two children of its specification, the second
/// one gets two later, the third one, transient, is terminated.
async fn tree() -> Tree {
    let log = Log::new();
    let static_ones = ["child1", "child2"].map(|name| Puppet::new(name, &log));
    let dynamic_ones = ["child3", "child4"].map(|name| Puppet::new(name, &log));
    let one_for_one = || SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(4));
    let first = one_for_one().children(static_ones.each_ref().map(Puppet::spec));
    let children = [
        ChildSpec::supervisor("sup1", first),
        ChildSpec::supervisor("sup2", one_for_one()),
        ChildSpec::supervisor("sup3", one_for_one()).restart(Restart::Transient),
    ];
    let spec = SupervisorSpec::new(Strategy::OneForAll).intensity(at_most(4)).children(children);
    let top = Office::open(spec).await;
    top.office.terminate_child("sup3").await.unwrap();
    let second = inner(&top.office, "sup2").await;
    for puppet in &dynamic_ones {
        second.start_child(puppet.spec()).await.unwrap();
    }
    Tree { top, static_ones, dynamic_ones }
}

async fn inner(sup: &Supervisor, id: &str) -> Supervisor {
    sup.supervisor(id).await.unwrap().unwrap()
}

#[tokio::test]
async fn otp_57_only_the_child_that_died_is_replaced() {
    let Tree { mut top, static_ones, dynamic_ones } = tree().await;
    assert_eq!(counts(&top.office).await, [3, 2, 3, 0]);
    assert_eq!(inner(&top.office, "sup2").await.path(), "top/office/sup2");
    let before = [static_ones[0].id(), static_ones[1].id(), dynamic_ones[0].id()];
    dynamic_ones[1].order(Command::Fail("broken"));
    top.reports.restarted("child4").await;
    assert_eq!([static_ones[0].id(), static_ones[1].id(), dynamic_ones[0].id()], before);
    for sup in ["sup1", "sup2"] {
        assert_eq!(counts(&inner(&top.office, sup).await).await, [2, 2, 0, 2]);
    }
    top.close().await;
}

#[tokio::test]
async fn otp_57_an_escalation_restarts_the_subtrees_with_their_own_children_but_not_with_those_added_later() {
    let Tree { mut top, static_ones, dynamic_ones } = tree().await;
    let old = inner(&top.office, "sup2").await;
    dynamic_ones[0].always(Moment::Starting, Behavior::Fail("no desk"));
    dynamic_ones[0].order(Command::Fail("broken"));
    assert_eq!(top.reports.gave_up().await, "child3");
    assert_eq!(top.reports.exited("sup2").await, shutdown());
    // It was terminated by request; one-for-all starts it again all the same, as the last one.
    top.reports.started("sup3").await;
    assert_eq!(states(&top.office.which_children().await.unwrap()), ["sup3 running", "sup2 running", "sup1 running"]);
    assert_eq!(counts(&top.office).await, [3, 3, 3, 0]);
    assert_eq!(counts(&inner(&top.office, "sup1").await).await, [2, 2, 0, 2]);
    for empty in ["sup2", "sup3"] {
        assert_eq!(counts(&inner(&top.office, empty).await).await, [0, 0, 0, 0]);
    }
    assert_eq!(static_ones.each_ref().map(|child| (child.alive(), child.overlaps())), [(1, 0), (1, 0)]);
    assert_eq!(dynamic_ones.each_ref().map(Puppet::alive), [0, 0]);
    // A handle on the supervisor that gave up is not one on its replacement.
    assert_error!(old.which_children().await, ChildError::NotRunning { .. });
    top.close().await;
}

/// From the bottom to the top: each supervisor that gives up is one failure of a child of the supervisor above.
#[tokio::test]
async fn otp_57_giving_up_propagates_to_the_top_of_the_tree() {
    let log = Log::new();
    let leaf = Puppet::new("leaf", &log);
    let mut spec = SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(1)).child(leaf.spec());
    for level in ["third", "second", "first"] {
        spec = SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(1)).child(ChildSpec::supervisor(level, spec));
    }
    let mut office = Office::open(spec).await;
    leaf.always(Moment::Started, Behavior::Panic("cracked"));
    leaf.order(Command::Fail("broken"));
    assert_eq!(office.ended().await, shutdown());
    // Each of the four supervisors allows one restart, and each restart of one starts those below anew.
    assert_eq!(log.count("leaf", Moment::Up), 16);
    assert_eq!((leaf.alive(), leaf.overlaps()), (0, 0));
}

/// A supervisor that ends for the reason `shutdown` has not failed.
#[tokio::test]
async fn otp_57_a_transient_supervisor_that_gave_up_is_not_restarted() {
    let log = Log::new();
    let child = Puppet::new("child", &log);
    let inner = SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(0)).child(child.spec());
    let spec = ChildSpec::supervisor("inner", inner).restart(Restart::Transient);
    let mut office = Office::open(SupervisorSpec::new(Strategy::OneForOne).child(spec)).await;
    child.order(Command::Fail("broken"));
    assert_eq!(office.reports.exited("inner").await, ExitReason::Shutdown("shutdown".into()));
    assert_eq!(states(&super::at_rest(&office.office).await), ["inner stopped"]);
    office.close().await;
}
