//! Section 3.

use std::time::Duration;

use foundation::names::ProcessRegistry;
use foundation::ractor::ActorRef;
use foundation::supervision::{
    ChildError, ChildKind, RestartIntensity, Shutdown, SpecError, StartError, SupervisorSpec,
};
use foundation::{ChildSpec, Namespace, Restart, ServiceKey, Strategy, Supervisor};
use foundation_testkit::{Command, Log, Moment, Puppet, ping, reports};

use crate::otp::{Office, counts, states};

#[test]
fn sup_3_a_child_spec_has_the_defaults_of_its_kind() {
    let clerk = Puppet::new("clerk", &Log::new());
    let worker = clerk.spec();
    assert_eq!((worker.id().as_str(), worker.kind()), ("clerk", ChildKind::Worker));
    let five_seconds = Shutdown::Timeout(Duration::from_secs(5));
    assert_eq!((worker.restart_rule(), worker.shutdown_rule()), (Restart::Permanent, five_seconds));
    let inner = ChildSpec::supervisor("inner", SupervisorSpec::new(Strategy::OneForOne));
    assert_eq!((inner.kind(), inner.restart_rule()), (ChildKind::Supervisor, Restart::Permanent));
    assert_eq!(inner.shutdown_rule(), Shutdown::Infinity);
}

#[test]
fn sup_3_each_part_of_a_child_spec_can_be_overridden() {
    let spec = Puppet::new("clerk", &Log::new()).spec().restart(Restart::Transient).shutdown(Shutdown::BrutalKill);
    assert_eq!((spec.restart_rule(), spec.shutdown_rule()), (Restart::Transient, Shutdown::BrutalKill));
    assert_eq!(spec.id().as_str(), "clerk");
}

#[tokio::test(start_paused = true)]
async fn sup_3_three_restarts_within_five_seconds_are_made_and_the_fourth_is_not() {
    assert_eq!(RestartIntensity::default(), RestartIntensity::new(3, Duration::from_secs(5)));
    let child = Puppet::new("child", &Log::new());
    let mut office = Office::open(SupervisorSpec::new(Strategy::OneForOne).child(child.spec())).await;
    for _ in 0..3 {
        child.order(Command::Fail("broken"));
        office.reports.restarted("child").await;
    }
    child.order(Command::Fail("broken"));
    assert_eq!(office.reports.gave_up().await, "child");
    office.close().await;
}

#[tokio::test]
async fn sup_3_a_child_with_a_name_is_reached_through_a_via() {
    const CLERK: ServiceKey<Command> = ServiceKey::from_static("clerk");
    let registry = ProcessRegistry::start().await.unwrap();
    let names = registry.namespace(Namespace::test()).await.unwrap();
    let clerk = Puppet::new("clerk", &Log::new());
    let via = names.via(&CLERK);
    let (reporter, mut reports) = reports();
    let child = {
        let clerk = clerk.clone();
        names.child_spec(&CLERK, move || (clerk.actor(), ()))
    };
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(child).reporter(reporter);
    let sup = Supervisor::start("office", spec).await.unwrap();
    assert_eq!(via.call(Command::Ping, Duration::from_secs(60)).await.unwrap(), 1);
    clerk.order(Command::Fail("broken"));
    reports.restarted("clerk").await;
    assert_eq!(via.call(Command::Ping, Duration::from_secs(60)).await.unwrap(), 2);
    sup.shutdown().await;
    registry.shutdown().await;
}

/// A supervisor's name is its place in reports and errors, and is not registered.
#[tokio::test]
async fn sup_3_two_supervisors_may_have_one_name() {
    let spec = || SupervisorSpec::new(Strategy::OneForOne);
    let one = Supervisor::start("office", spec()).await.unwrap();
    let other = Supervisor::start("office", spec()).await.unwrap();
    assert_eq!((one.path(), other.path()), ("office", "office"));
    one.shutdown().await;
    let error = one.count_children().await.unwrap_err();
    assert_eq!(error.to_string(), "supervisor office is not running");
    assert_eq!(counts(&other).await, [0, 0, 0, 0]);
    other.shutdown().await;
}

#[tokio::test]
async fn sup_3_a_child_has_its_name_again_after_a_restart() {
    const CLERK: ServiceKey<Command> = ServiceKey::from_static("clerk");
    let registry = ProcessRegistry::start().await.unwrap();
    let names = registry.namespace(Namespace::test()).await.unwrap();
    let clerk = Puppet::new("clerk", &Log::new());
    let spec = {
        let clerk = clerk.clone();
        names.child_spec(&CLERK, move || (clerk.actor(), ()))
    };
    let mut office = Office::open(SupervisorSpec::new(Strategy::OneForOne).child(spec)).await;
    clerk.latest().kill();
    let replacement = office.reports.restarted("clerk").await;
    assert_eq!(names.lookup(&CLERK).unwrap().get_id(), replacement);
    office.close().await;
    registry.shutdown().await;
}

#[test]
fn sup_3_an_invalid_name_is_refused_with_its_fault() {
    for (name, wrong) in [("", "empty"), ("Clerk", "'C'"), ("the clerk", "' '")] {
        let error = ServiceKey::<Command>::new(name).unwrap_err().to_string();
        assert!(error.contains(wrong), "{name:?}: {error}");
    }
}

/// In place of a module with an `init`, a function gives the specification here.
#[tokio::test]
async fn sup_3_a_function_can_give_the_specification() {
    fn office(log: &Log, clerks: usize) -> SupervisorSpec {
        let clerk = |n| Puppet::new(&format!("clerk {n}"), log).spec();
        SupervisorSpec::new(Strategy::RestForOne).children((0..clerks).map(clerk))
    }
    let log = Log::new();
    let sup = Supervisor::start("office", office(&log, 2)).await.unwrap();
    assert_eq!(states(&sup.which_children().await.unwrap()), ["clerk 1 running", "clerk 0 running"]);
    sup.shutdown().await;
}

#[tokio::test]
async fn sup_3_a_child_is_added_as_an_actor_with_its_arguments() {
    let (clerk, office) = (Puppet::new("clerk", &Log::new()), Office::of(Strategy::OneForOne, 0, &[]).await);
    let actor = clerk.clone();
    let spec = ChildSpec::worker("desk", move || (actor.actor(), ()));
    let started: ActorRef<Command> = office.office.start_child(spec).await.unwrap().unwrap().into();
    assert_eq!(ping(&started).await, Some(1));
    assert_eq!(states(&office.office.which_children().await.unwrap()), ["desk running"]);
    office.close().await;
}

#[tokio::test]
async fn sup_3_a_child_is_added_as_a_start_function() {
    let (clerk, office) = (Puppet::new("clerk", &Log::new()), Office::of(Strategy::OneForOne, 0, &[]).await);
    let actor = clerk.clone();
    let spec = ChildSpec::from_fn("desk", ChildKind::Worker, move |context| {
        let actor = actor.actor();
        async move {
            assert_eq!(context.id().as_str(), "desk");
            context.spawn(actor, ()).await
        }
    });
    let started = office.office.start_child(spec).await.unwrap().unwrap();
    assert_eq!(started.get_id(), clerk.id());
    office.close().await;
}

/// Most of what Elixir refuses here does not compile; the other errors name the child and its fault.
#[tokio::test]
async fn sup_3_invalid_specifications_are_refused_with_their_fault() {
    let log = Log::new();
    let (clerk, nameless) = (Puppet::new("clerk", &log), Puppet::new("", &log));
    let refused = |children: Vec<ChildSpec>| async move {
        let spec = SupervisorSpec::new(Strategy::OneForOne).children(children);
        match Supervisor::start("office", spec).await.unwrap_err() {
            StartError::Spec(error) => error,
            error => panic!("{error}"),
        }
    };
    assert_eq!(refused(vec![nameless.spec()]).await, SpecError::EmptyId);
    let twice = refused(vec![clerk.spec(), clerk.spec()]).await;
    assert_eq!(twice.to_string(), "two children have the id clerk; ids are unique within a supervisor");
    assert_eq!(log.of(&[Moment::Called]), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn sup_3_a_shutdown_time_of_zero_or_almost_zero_is_accepted() {
    for limit in [Duration::ZERO, Duration::from_millis(1)] {
        let (clerk, office) = (Puppet::new("clerk", &Log::new()), Office::of(Strategy::OneForOne, 0, &[]).await);
        office.office.start_child(clerk.spec().shutdown(Shutdown::Timeout(limit))).await.unwrap();
        office.office.terminate_child("clerk").await.unwrap();
        assert_eq!(clerk.alive(), 0);
        office.close().await;
    }
}

#[tokio::test]
async fn sup_3_a_child_goes_through_its_life() {
    let (clerk, office) = (Puppet::new("clerk", &Log::new()), Office::of(Strategy::OneForOne, 0, &[]).await);
    let sup = &office.office;
    sup.start_child(clerk.spec()).await.unwrap();
    assert_eq!(
        (states(&sup.which_children().await.unwrap()), counts(sup).await),
        (vec!["clerk running".into()], [1, 1, 0, 1])
    );
    assert!(matches!(sup.delete_child("clerk").await.unwrap_err(), ChildError::Running { .. }));
    sup.terminate_child("clerk").await.unwrap();
    assert_eq!(
        (states(&sup.which_children().await.unwrap()), counts(sup).await),
        (vec!["clerk stopped".into()], [1, 0, 0, 1])
    );
    let second = sup.restart_child("clerk").await.unwrap().unwrap();
    assert_eq!(ping(&second).await, Some(2));
    assert!(matches!(sup.restart_child("clerk").await.unwrap_err(), ChildError::Running { .. }));
    sup.terminate_child("clerk").await.unwrap();
    sup.delete_child("clerk").await.unwrap();
    assert!(matches!(sup.restart_child("clerk").await.unwrap_err(), ChildError::NotFound { .. }));
    assert!(matches!(sup.delete_child("clerk").await.unwrap_err(), ChildError::NotFound { .. }));
    assert_eq!(counts(sup).await, [0, 0, 0, 0]);
    office.close().await;
}
