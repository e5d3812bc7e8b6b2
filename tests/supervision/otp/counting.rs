//! 1.9: counting and listing children.

use std::time::Duration;

use foundation::names::ProcessRegistry;
use foundation::ractor::{Actor, ActorRef};
use foundation::supervision::{
    ChildError, ChildKind, ChildState, DynamicSupervisorSpec, RestartIntensity, SupervisorSpec,
};
use foundation::{ChildSpec, Namespace, Restart, ServiceKey, Strategy};
use foundation_testkit::{Behavior, Command, Log, Moment, Puppet, assert_error, until};

use super::{Agency, Office, at_most, at_rest, counts, states};

async fn totals(agency: &Agency) -> [usize; 4] {
    let count = agency.agency.count_children().await.unwrap();
    [count.specs, count.active, count.supervisors, count.workers]
}

async fn empty(agency: &Agency) {
    until("all children gone", async || totals(agency).await == [0, 0, 0, 0]).await;
}

async fn many(kind: ChildKind, two_thousand: [usize; 4]) {
    let child = Puppet::new("child", &Log::new());
    let agency = Agency::of(2, &[]).await;
    let spec = child.spec_as(kind).restart(Restart::Temporary);
    for so_far in 1..=2000 {
        agency.agency.start_child(spec.clone()).await.unwrap();
        if so_far == 1000 {
            assert_eq!(totals(&agency).await, two_thousand.map(|count| count / 2));
        }
    }
    assert_eq!(totals(&agency).await, two_thousand);
    let children = agency.agency.which_children().await.unwrap();
    assert_eq!(children.len(), 2000);
    assert_eq!(agency.agency.which_children().await.unwrap(), children);
    for cell in agency.agency.actor().unwrap().get_children() {
        cell.kill();
    }
    empty(&agency).await;
    assert_eq!(child.alive(), 0);
    agency.close().await;
}

#[tokio::test]
async fn otp_72_two_thousand_children_are_counted_until_they_are_killed() {
    many(ChildKind::Worker, [2000, 2000, 0, 2000]).await;
}

#[tokio::test]
async fn otp_73_supervisors_are_counted_apart_from_workers() {
    many(ChildKind::Supervisor, [2000, 2000, 2000, 0]).await;
}

#[tokio::test(start_paused = true)]
async fn otp_74_children_that_are_restarting_count_as_workers_but_not_as_active() {
    let log = Log::new();
    let puppets = ["a", "b", "c"].map(|name| Puppet::new(name, &log));
    let intensity = RestartIntensity::new(20, Duration::from_secs(10));
    let mut agency = Agency::open(DynamicSupervisorSpec::default().intensity(intensity).max_children(3)).await;
    for puppet in &puppets {
        let spec = puppet.spec().start_timeout(Duration::from_secs(2));
        agency.agency.start_child(spec).await.unwrap();
    }
    for (name, puppet) in ["a", "b", "c"].into_iter().zip(&puppets) {
        puppet.order(Command::Fail("broken"));
        agency.reports.restarted(name).await;
    }
    assert_eq!(totals(&agency).await, [3, 3, 0, 3]);

    let [a, b, c] = &puppets;
    for hanging in [a, b] {
        hanging.always(Moment::Starting, Behavior::Hang);
        hanging.order(Command::Fail("broken"));
    }
    log.reached("a", Moment::Starting, 4).await;
    log.reached("b", Moment::Starting, 4).await;
    assert_eq!(totals(&agency).await, [3, 1, 0, 3]);
    // They keep their places.
    let fourth = Puppet::new("d", &log);
    assert_error!(agency.agency.start_child(fourth.spec()).await, ChildError::TooManyChildren { max_children: 3 });

    for well in [a, b] {
        well.always(Moment::Starting, Behavior::Proceed);
    }
    agency.reports.restarted("a").await;
    until("both running again", async || totals(&agency).await == [3, 3, 0, 3]).await;
    for (left, puppet) in [(2, c), (1, a), (0, b)] {
        agency.agency.terminate_child(puppet.id()).await.unwrap();
        assert_eq!(totals(&agency).await, [left, left, 0, left]);
    }
    agency.close().await;
}

const DESK: ServiceKey<Command> = ServiceKey::from_static("desk");

/// The name is not the child's id but the name under which its actor registers.
#[tokio::test]
async fn otp_76_a_child_whose_name_is_held_elsewhere_is_refused_with_the_holder() {
    let log = Log::new();
    let (child, foreign) = (Puppet::new("child", &log), Puppet::new("foreign", &log));
    let registry = ProcessRegistry::start().await.unwrap();
    let space = registry.namespace(Namespace::test()).await.unwrap();
    let (holder, _task) = Actor::spawn(None, foreign.actor(), ()).await.unwrap();
    space.register(&DESK, &holder).await.unwrap();
    let office = Office::of(Strategy::OneForOne, 0, &[]).await;
    let spec = {
        let child = child.clone();
        space.child_spec(&DESK, move || (child.actor(), ()))
    };
    let error = office.office.start_child(spec.clone()).await.unwrap_err().to_string();
    assert!(error.contains("already registered") && error.contains(&holder.get_id().to_string()), "{error}");
    assert_eq!(counts(&office.office).await, [0, 0, 0, 0]);
    assert_eq!(log.count("child", Moment::Starting), 0);
    assert_eq!(foundation_testkit::ping(&holder).await, Some(1));
    assert!(space.unregister(&DESK));
    assert!(office.office.start_child(spec).await.unwrap().is_some());
    holder.stop(None);
    office.close().await;
    registry.shutdown().await;
}

#[tokio::test]
async fn otp_77_children_are_listed_newest_first_with_their_kind_and_state() {
    let log = Log::new();
    let office = Office::of(Strategy::OneForOne, 2, &[]).await;
    let sup = &office.office;
    for name in ["a", "b", "c"] {
        sup.start_child(Puppet::new(name, &log).spec()).await.unwrap();
    }
    let inner = SupervisorSpec::new(Strategy::OneForOne);
    sup.start_child(ChildSpec::supervisor("d", inner).restart(Restart::Transient)).await.unwrap();
    let children = sup.which_children().await.unwrap();
    assert_eq!(states(&children), ["d running", "c running", "b running", "a running"]);
    assert_eq!((children[0].kind, children[0].restart), (ChildKind::Supervisor, Restart::Transient));
    assert_eq!((children[1].kind, children[1].restart), (ChildKind::Worker, Restart::Permanent));
    let b = sup.child("b").await.unwrap().unwrap().get_id();
    assert_eq!(children[2].state, ChildState::Running(b));
    sup.terminate_child("b").await.unwrap();
    assert_eq!(states(&sup.which_children().await.unwrap())[2], "b stopped");
    sup.delete_child("b").await.unwrap();
    assert_eq!(states(&sup.which_children().await.unwrap()), ["d running", "c running", "a running"]);
    office.close().await;
}

#[tokio::test]
async fn otp_78_dynamic_children_are_listed_by_their_actors() {
    let log = Log::new();
    let puppets = ["a", "b", "c"].map(|name| Puppet::new(name, &log));
    let agency = Agency::of(2, &puppets.each_ref()).await;
    let states: Vec<_> = agency.agency.which_children().await.unwrap().into_iter().map(|child| child.state).collect();
    assert_eq!(states, [&puppets[2], &puppets[1], &puppets[0]].map(|child| ChildState::Running(child.id())));
    agency.close().await;
}

#[tokio::test]
async fn otp_79_children_start_in_the_given_order_and_stop_in_the_reverse_one() {
    let log = Log::new();
    // Not in alphabetical order.
    let ids = ["ch7", "ch3", "ch10", "ch2", "ch5"];
    let puppets = ids.map(|id| Puppet::new(id, &log));
    let mut office = Office::of(Strategy::RestForOne, 2, &puppets.each_ref()).await;
    assert_eq!(log.of(&[Moment::Up]), ["ch7 up", "ch3 up", "ch10 up", "ch2 up", "ch5 up"]);
    log.clear();
    puppets[2].order(Command::Fail("broken"));
    office.reports.restarted("ch5").await;
    let order = ["ch5 down", "ch2 down", "ch10 up", "ch2 up", "ch5 up"];
    assert_eq!(log.of(&[Moment::Up, Moment::Down]), order);
    assert_eq!(states(&at_rest(&office.office).await).len(), 5);
    log.clear();
    office.close().await;
    assert_eq!(log.of(&[Moment::Down]), ["ch5 down", "ch2 down", "ch10 down", "ch3 down", "ch7 down"]);
}

/// The place of a child is where it was added, whatever happens to it later.
#[tokio::test]
async fn otp_79_a_child_keeps_its_place_when_it_is_stopped_and_started_again() {
    let log = Log::new();
    let puppets = ["a", "b", "c"].map(|name| Puppet::new(name, &log));
    let mut office = Office::of(Strategy::OneForAll, 2, &puppets.each_ref()).await;
    office.office.terminate_child("a").await.unwrap();
    office.office.restart_child("a").await.unwrap();
    log.clear();
    puppets[1].order(Command::Fail("broken"));
    office.reports.restarted("c").await;
    assert_eq!(log.of(&[Moment::Up, Moment::Down]), ["c down", "a down", "a up", "b up", "c up"]);
    office.close().await;
}

/// A child's cell is the actor itself, which can be typed again.
#[tokio::test]
async fn otp_77_a_child_is_reached_through_its_id() {
    let child = Puppet::new("child", &Log::new());
    let office = Office::open(SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(1)).child(child.spec())).await;
    let cell = office.office.child("child").await.unwrap().unwrap();
    assert_eq!(foundation_testkit::ping(&cell).await, Some(1));
    assert_eq!(ActorRef::<Command>::from(cell).get_id(), child.id());
    office.close().await;
}

/// There is no callback module to query. A supervisor is identified by its place in the tree.
#[tokio::test]
async fn otp_75_a_supervisor_is_identified_by_its_place_in_the_tree() {
    let inner = ChildSpec::supervisor("inner", SupervisorSpec::new(Strategy::OneForOne));
    let office = Office::open(SupervisorSpec::new(Strategy::OneForOne).child(inner)).await;
    let inner = office.office.supervisor("inner").await.unwrap().unwrap();
    let paths = [&office.top, &office.office, &inner].map(|supervisor| supervisor.path().to_owned());
    assert_eq!(paths, ["top", "top/office", "top/office/inner"]);
    office.close().await;
}
