//! 1.2: the defaults of a specification, and queries of it. The values that a start returns
//! besides the child (25, 49).

use std::time::Duration;

use foundation::supervision::{
    ChildError, ChildKind, DynamicSupervisorSpec, Shutdown, SpecError, StartError, SupervisorSpec,
};
use foundation::{ChildSpec, Restart, Strategy, Supervisor};
use foundation_testkit::{Behavior, Command, Log, Moment, Puppet};

use super::{Agency, Office, at_rest, puppets, states};

#[tokio::test]
async fn otp_13_unset_fields_have_the_defaults_of_otp() {
    let (_, [worker]) = puppets(["worker"]);
    let office = Office::of(Strategy::OneForOne, 2, &[&worker]).await;
    let nested = ChildSpec::supervisor("supervisor", SupervisorSpec::new(Strategy::OneForOne));
    office.office.start_child(nested).await.unwrap();

    let known = office.office.child_spec("worker").await.unwrap();
    assert_eq!((known.id().as_str(), known.kind()), ("worker", ChildKind::Worker));
    assert_eq!((known.restart_rule(), known.is_significant()), (Restart::Permanent, false));
    assert_eq!(known.shutdown_rule(), Shutdown::Timeout(Duration::from_secs(5)));
    assert_eq!(known.start_limit(), Some(Duration::from_secs(30)));

    let known = office.office.child_spec("supervisor").await.unwrap();
    assert_eq!((known.kind(), known.restart_rule()), (ChildKind::Supervisor, Restart::Permanent));
    assert_eq!((known.shutdown_rule(), known.start_limit()), (Shutdown::Infinity, None));

    let error = office.office.child_spec("wroker").await.unwrap_err();
    assert!(matches!(&error, ChildError::NotFound { asked, .. } if asked == "wroker"), "{error}");
    assert!(error.to_string().contains("worker"), "{error}");
    office.close().await;
}

/// The specification is returned unchanged, and another supervisor accepts it.
#[tokio::test]
async fn otp_13_a_specification_can_be_used_again() {
    let (log, [child]) = puppets(["child"]);
    let office = Office::of(Strategy::OneForOne, 2, &[&child]).await;
    let known = office.office.child_spec("child").await.unwrap();
    let other = Office::open(SupervisorSpec::new(Strategy::OneForOne).child(known)).await;
    assert_eq!(log.count("child", Moment::Up), 2);
    other.close().await;
    office.close().await;
}

/// There is no template: each child has the specification that it was started with, and is looked up by its actor.
#[tokio::test]
async fn otp_14_the_specification_of_a_dynamic_child_is_looked_up_by_its_actor() {
    let (_, [a, b]) = puppets(["a", "b"]);
    let mut agency = Agency::of(9, &[&a]).await;
    let transient = b.spec().restart(Restart::Transient);
    agency.agency.start_child(transient).await.unwrap();
    let known = agency.agency.child_spec(a.id()).await.unwrap();
    assert_eq!((known.id().as_str(), known.restart_rule(), known.kind()), ("a", Restart::Permanent, ChildKind::Worker));
    assert_eq!(known.shutdown_rule(), Shutdown::Timeout(Duration::from_secs(5)));
    assert_eq!(agency.agency.child_spec(b.id()).await.unwrap().restart_rule(), Restart::Transient);
    assert_eq!(agency.agency.which_child(b.id()).await.unwrap().id.as_str(), "b");

    let before = b.id();
    b.order(Command::Fail("broken"));
    let after = agency.reports.restarted("b").await;
    for error in [
        agency.agency.child_spec(before).await.map(|_| ()).unwrap_err(),
        agency.agency.which_child(before).await.map(|_| ()).unwrap_err(),
    ] {
        assert!(matches!(error, ChildError::NotFound { .. }), "{error}");
    }
    assert_eq!(agency.agency.which_child(after).await.unwrap().restarts, 1);
    agency.close().await;
}

/// A missing id is an empty one; a missing start function is that of a temporary child after its start. Invalid shapes
/// and unknown keys do not compile.
#[tokio::test]
async fn otp_15_a_faulty_specification_is_refused_with_its_fault() {
    let log = Log::new();
    let (nameless, temporary) = (Puppet::new("", &log), Puppet::new("temporary", &log));
    let office = Office::of(Strategy::OneForOne, 2, &[]).await;
    office.office.start_child(temporary.spec().restart(Restart::Temporary)).await.unwrap();
    let spent = office.office.child_spec("temporary").await.unwrap();
    assert_eq!(spent.restart_rule(), Restart::Temporary);
    office.office.terminate_child("temporary").await.unwrap();

    let of = |spec: &ChildSpec| SupervisorSpec::new(Strategy::OneForOne).child(spec.clone());
    let wanted = [SpecError::EmptyId, SpecError::Spent { id: "temporary".into() }];
    for (faulty, wanted) in [nameless.spec(), spent].iter().zip(wanted) {
        let error = office.office.start_child(faulty.clone()).await.unwrap_err();
        assert!(matches!(&error, ChildError::Spec(error) if *error == wanted), "{error}");
        let error = Supervisor::start("it", of(faulty)).await.unwrap_err();
        assert!(matches!(&error, StartError::Spec(error) if *error == wanted), "{error}");
        let agency = Agency::open(DynamicSupervisorSpec::default()).await;
        let error = agency.agency.start_child(faulty.clone()).await.unwrap_err();
        assert!(matches!(&error, ChildError::Spec(error) if *error == wanted), "{error}");
        agency.close().await;
    }
    assert_eq!(log.count("temporary", Moment::Called), 1);
    office.close().await;
}

#[tokio::test]
async fn otp_77_one_child_is_queried_by_its_id() {
    let (_, [a, b]) = puppets(["a", "b"]);
    let office = Office::of(Strategy::OneForOne, 2, &[&a, &b]).await;
    let sup = &office.office;
    assert_eq!(sup.which_child("a").await.unwrap(), sup.which_children().await.unwrap()[1]);
    sup.terminate_child("a").await.unwrap();
    assert_eq!(states(&[sup.which_child("a").await.unwrap()]), ["a stopped"]);
    sup.delete_child("a").await.unwrap();
    let error = sup.which_child("a").await.unwrap_err();
    assert!(matches!(error, ChildError::NotFound { .. }), "{error}");
    office.close().await;
}

/// A zero time-out refuses every child that does not start at once; the longest possible one does not overflow.
#[tokio::test(start_paused = true)]
async fn otp_26_extreme_start_time_outs_are_respected() {
    let (_, [a]) = puppets(["a"]);
    let office = Office::of(Strategy::OneForOne, 2, &[]).await;
    a.next(Moment::Called, Behavior::Take(Duration::from_nanos(1)));
    let error = office.office.start_child(a.spec().start_timeout(Duration::ZERO)).await.unwrap_err();
    assert!(matches!(error, ChildError::Start { error: StartError::TimedOut(Duration::ZERO), .. }), "{error}");
    a.next(Moment::Called, Behavior::Take(Duration::from_secs(1_000_000)));
    assert!(office.office.start_child(a.spec().start_timeout(Duration::MAX)).await.unwrap().is_some());
    office.close().await;
}

/// The puppet, whose start returns a number to the caller: how often it was started.
fn numbered(child: &Puppet) -> ChildSpec {
    let (child, starts) = (child.clone(), std::sync::atomic::AtomicU64::new(0));
    ChildSpec::from_fn("child", ChildKind::Worker, move |context| {
        let (child, start) = (child.clone(), starts.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1);
        async move { Ok(context.spawn(child.actor(), ()).await?.with_extra(start)) }
    })
}

#[tokio::test]
async fn otp_25_the_value_that_a_start_returns_reaches_the_caller_unchanged() {
    let (_, [child]) = puppets(["child"]);
    let mut office = Office::of(Strategy::OneForOne, 9, &[]).await;
    let started = office.office.start_child_with_extra(numbered(&child)).await.unwrap().unwrap();
    assert_eq!((started.actor().get_id(), started.extra()), (child.id(), Some(&1_u64)));
    assert_eq!(started.extra::<String>(), None);

    // An automatic restart has no caller, so its value is dropped.
    child.order(Command::Fail("broken"));
    office.reports.restarted("child").await;

    office.office.terminate_child("child").await.unwrap();
    let (actor, extra) = office.office.restart_child_with_extra("child").await.unwrap().unwrap().into_parts::<u64>();
    assert_eq!((actor.get_id(), extra), (child.id(), Some(3)));
    // A caller that does not need the value can ignore it.
    office.office.terminate_child("child").await.unwrap();
    assert_eq!(office.office.restart_child("child").await.unwrap().unwrap().get_id(), child.id());
    office.close().await;
}

#[tokio::test]
async fn otp_25_a_start_without_a_value_and_a_child_that_is_not_wanted_are_reported() {
    let (_, [a, b]) = puppets(["a", "b"]);
    let office = Office::of(Strategy::OneForOne, 9, &[]).await;
    let started = office.office.start_child_with_extra(a.spec()).await.unwrap().unwrap();
    assert_eq!(started.into_parts::<u64>().1, None);
    b.next(Moment::Called, Behavior::Ignore);
    assert!(office.office.start_child_with_extra(b.spec()).await.unwrap().is_none());
    assert_eq!(states(&at_rest(&office.office).await), ["b stopped", "a running"]);
    office.close().await;
}

#[tokio::test]
async fn otp_49_a_dynamic_child_that_returns_a_value_is_restarted_as_any_other() {
    let (_, [child]) = puppets(["child"]);
    let mut agency = Agency::of(2, &[]).await;
    let started = agency.agency.start_child_with_extra(numbered(&child)).await.unwrap().unwrap();
    assert_eq!(started.extra(), Some(&1_u64));
    for _ in 0..2 {
        child.order(Command::Fail("broken"));
        let actor = agency.reports.restarted("child").await;
        assert_eq!(actor, child.id());
    }
    child.order(Command::Fail("broken"));
    assert_eq!(agency.ended().await, super::shutdown());
    agency.close().await;
}
