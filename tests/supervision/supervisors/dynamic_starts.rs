//! Section 4: supervisors of children on demand, and starting children.

use std::sync::Arc;

use foundation::supervision::{
    ChildError, ChildKind, DynamicSupervisor, DynamicSupervisorSpec, RestartIntensity, SpecError, Start, StartError,
    SupervisorSpec,
};
use foundation::{ChildSpec, Strategy, Supervisor};
use foundation_testkit::{Behavior, Command, Log, Moment, Puppet, ping};

use crate::otp::{Agency, states};

#[tokio::test]
async fn dyn_4_it_is_supervised_like_any_child_and_is_restarted_empty() {
    let puppet = Puppet::new("puppet", &Log::new());
    let mut agency = {
        let (reporter, reports) = foundation_testkit::reports();
        let child = ChildSpec::dynamic_supervisor("agency", DynamicSupervisorSpec::default());
        let spec = SupervisorSpec::new(Strategy::OneForOne).child(child).reporter(reporter);
        let top = Supervisor::start("top", spec).await.unwrap();
        let agency = top.dynamic_supervisor("agency").await.unwrap().unwrap();
        Agency { top, agency, reports }
    };
    agency.agency.start_child(puppet.spec()).await.unwrap();
    agency.agency.actor().unwrap().kill();
    agency.reports.restarted("agency").await;
    assert_eq!(puppet.alive(), 0);
    let again = agency.top.dynamic_supervisor("agency").await.unwrap().unwrap();
    assert_eq!(again.count_children().await.unwrap().specs, 0);
    agency.close().await;
}

#[tokio::test]
async fn dyn_4_several_run_side_by_side_under_their_ids() {
    let puppet = Puppet::new("puppet", &Log::new());
    let child = |id| ChildSpec::dynamic_supervisor(id, DynamicSupervisorSpec::default());
    let spec = SupervisorSpec::new(Strategy::OneForOne).children([child("one"), child("other")]);
    let top = Supervisor::start("top", spec).await.unwrap();
    let one = top.dynamic_supervisor("one").await.unwrap().unwrap();
    let other = top.dynamic_supervisor("other").await.unwrap().unwrap();
    one.start_child(puppet.spec()).await.unwrap();
    assert_eq!((one.count_children().await.unwrap().specs, other.count_children().await.unwrap().specs), (1, 0));
    top.shutdown().await;
    assert_eq!(puppet.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn dyn_4_by_default_children_are_unlimited_and_three_restarts_in_five_seconds_are_allowed() {
    let log = Log::new();
    let mut agency = Agency::open(DynamicSupervisorSpec::default()).await;
    let puppets: Vec<_> = (0..100).map(|n| Puppet::new(&format!("p{n}"), &log)).collect();
    for puppet in &puppets {
        agency.agency.start_child(puppet.spec()).await.unwrap();
    }
    for puppet in ["p1", "p2", "p3"].into_iter().zip(&puppets[1..]) {
        puppet.1.order(Command::Fail("broken"));
        agency.reports.restarted(puppet.0).await;
    }
    puppets[4].order(Command::Fail("broken"));
    assert_eq!(agency.reports.gave_up().await, "p4");
    agency.close().await;
}

#[tokio::test]
async fn dyn_4_a_specification_without_meaning_is_refused() {
    let spec = DynamicSupervisorSpec::default().intensity(RestartIntensity::new(3, std::time::Duration::ZERO));
    let error = DynamicSupervisor::start("agency", spec).await.unwrap_err();
    assert!(matches!(error, StartError::Spec(SpecError::ZeroPeriod { max_restarts: 3 })), "{error}");
}

#[tokio::test]
async fn dyn_4_its_name_is_its_place_in_errors() {
    let agency = DynamicSupervisor::start("agency", DynamicSupervisorSpec::default()).await.unwrap();
    agency.shutdown().await;
    assert_eq!(agency.which_children().await.unwrap_err().to_string(), "supervisor agency is not running");
}

#[tokio::test]
async fn dyn_4_a_child_is_started_as_an_actor_with_its_arguments() {
    let (puppet, agency) = (Puppet::new("puppet", &Log::new()), Agency::of(0, &[]).await);
    let actor = puppet.clone();
    let spec = ChildSpec::worker("puppet", move || (actor.actor(), ()));
    let started = agency.agency.start_child(spec).await.unwrap().unwrap();
    assert_eq!((started.get_id(), ping(&started).await), (puppet.id(), Some(1)));
    agency.close().await;
}

#[tokio::test]
async fn dyn_4_a_child_is_started_by_a_start_function() {
    let (puppet, agency) = (Puppet::new("puppet", &Log::new()), Agency::of(0, &[]).await);
    let started = agency.agency.start_child(puppet.spec()).await.unwrap().unwrap();
    assert_eq!(started.get_id(), puppet.id());
    assert_eq!(states(&agency.agency.which_children().await.unwrap()), ["puppet running"]);
    agency.close().await;
}

/// Elixir's extra arguments of each start are captured by a start function here.
#[tokio::test]
async fn dyn_4_common_arguments_of_all_children_are_captured_by_their_start_functions() {
    let agency = Agency::of(0, &[]).await;
    let common = Arc::new(Puppet::new("common", &Log::new()));
    let child = |id: &str| {
        let common = Arc::clone(&common);
        ChildSpec::worker(id, move || (common.actor(), ()))
    };
    for id in ["a", "b"] {
        agency.agency.start_child(child(id)).await.unwrap();
    }
    assert_eq!(common.alive(), 2);
    agency.close().await;
}

#[tokio::test]
async fn dyn_4_an_invalid_specification_is_refused() {
    let (nameless, agency) = (Puppet::new("", &Log::new()), Agency::of(0, &[]).await);
    let error = agency.agency.start_child(nameless.spec()).await.unwrap_err();
    assert!(matches!(error, ChildError::Spec(SpecError::EmptyId)), "{error}");
    agency.close().await;
}

#[tokio::test]
async fn dyn_4_a_start_returns_running_not_wanted_or_the_cause_of_its_failure() {
    let (log, agency) = (Log::new(), Agency::of(0, &[]).await);
    let start = async |at: Moment, conduct: Behavior| {
        let puppet = Puppet::new("puppet", &log);
        puppet.always(at, conduct);
        agency.agency.start_child(puppet.spec()).await
    };
    assert!(start(Moment::Called, Behavior::Ignore).await.unwrap().is_none());
    for at in [Moment::Called, Moment::Starting] {
        let error = start(at, Behavior::Fail("no room")).await.unwrap_err();
        assert!(matches!(&error, ChildError::Start { error: StartError::Failed(_), .. }), "{error}");
        assert_eq!(error.to_string(), "child puppet did not start: no room");
    }
    assert_eq!(agency.agency.count_children().await.unwrap().specs, 0);
    assert!(start(Moment::Called, Behavior::Proceed).await.unwrap().is_some());
    agency.close().await;
}

#[tokio::test]
async fn dyn_4_a_panic_of_a_start_is_its_error_with_the_text() {
    let (log, agency) = (Log::new(), Agency::of(0, &[]).await);
    for at in [Moment::Called, Moment::Starting] {
        let puppet = Puppet::new("puppet", &log);
        puppet.always(at, Behavior::Panic("thrown"));
        let error = agency.agency.start_child(puppet.spec()).await.unwrap_err();
        assert!(matches!(error, ChildError::Start { .. }) && error.to_string().contains("thrown"), "{error}");
    }
    let at_once = ChildSpec::from_fn("at once", ChildKind::Worker, |_| {
        if true {
            panic!("before any future");
        }
        async { Ok(Start::Ignore) }
    });
    let error = agency.agency.start_child(at_once).await.unwrap_err();
    let ChildError::Start { error: StartError::Panicked(text), .. } = &error else { panic!("{error}") };
    assert_eq!(text, "before any future");
    assert_eq!(agency.agency.count_children().await.unwrap().specs, 0);
    agency.close().await;
}

#[tokio::test]
async fn dyn_4_a_child_beyond_the_limit_is_refused() {
    let (log, agency) = (Log::new(), Agency::open(DynamicSupervisorSpec::default().max_children(0)).await);
    let error = agency.agency.start_child(Puppet::new("puppet", &log).spec()).await.unwrap_err();
    assert!(matches!(error, ChildError::TooManyChildren { max_children: 0 }), "{error}");
    assert_eq!(log.of(&[Moment::Called]), Vec::<String>::new());
    agency.close().await;
}
