//! 1.1: starts, and starts that fail.

use foundation::supervision::{
    ChildError, ChildKind, DynamicSupervisorSpec, RestartIntensity, SpecError, Start, StartError, SupervisorSpec,
};
use foundation::{ChildSpec, Restart, Strategy, Supervisor};
use foundation_testkit::{Behavior, Log, Moment, Puppet, soon};

use super::{Agency, Office, STRATEGIES, at_rest, counts, states};

fn ignoring(name: &str, log: &Log) -> Puppet {
    let puppet = Puppet::new(name, log);
    puppet.always(Moment::Called, Behavior::Ignore);
    puppet
}

#[tokio::test]
async fn otp_1_a_supervisor_without_children_starts_and_stops() {
    for strategy in STRATEGIES {
        let supervisor = Supervisor::start("empty", SupervisorSpec::new(strategy)).await.unwrap();
        assert_eq!(counts(&supervisor).await, [0, 0, 0, 0]);
        soon("shutdown", supervisor.shutdown()).await;
        soon("being gone", supervisor.wait_until_gone()).await;
        assert!(matches!(supervisor.count_children().await, Err(ChildError::NotRunning { .. })));
    }
}

/// There is no `init` that could refuse; the start function of a supervisor can.
#[tokio::test]
async fn otp_2_a_supervisor_that_is_not_wanted_is_not_started() {
    let inner = ChildSpec::from_fn("inner", ChildKind::Supervisor, |_| async { Ok(Start::Ignore) });
    let outer = Supervisor::start("outer", SupervisorSpec::new(Strategy::OneForOne).child(inner)).await.unwrap();
    assert!(outer.supervisor("inner").await.unwrap().is_none());
    assert_eq!(counts(&outer).await, [1, 0, 1, 0]);
    outer.shutdown().await;
}

#[tokio::test]
async fn otp_3_a_child_that_is_not_wanted_keeps_its_place() {
    let log = Log::new();
    let office = Office::of(Strategy::OneForOne, 2, &[]).await;
    let text = office.office.start_child(ignoring("a", &log).spec()).await.unwrap();
    assert!(text.is_none());
    assert!(office.office.start_child(Puppet::new("b", &log).spec()).await.unwrap().is_some());
    assert_eq!(states(&office.office.which_children().await.unwrap()), ["b running", "a stopped"]);
    assert_eq!(counts(&office.office).await, [2, 1, 0, 2]);
    office.close().await;
}

#[tokio::test]
async fn otp_4_a_temporary_child_that_is_not_wanted_is_removed() {
    let log = Log::new();
    let children = [ignoring("a", &log), Puppet::new("b", &log)].map(|child| child.spec().restart(Restart::Temporary));
    let office = Office::open(SupervisorSpec::new(Strategy::OneForOne).children(children)).await;
    assert_eq!(states(&office.office.which_children().await.unwrap()), ["b running"]);
    assert_eq!(counts(&office.office).await, [1, 1, 0, 1]);
    office.close().await;
}

#[tokio::test]
async fn otp_5_a_temporary_child_that_is_not_wanted_when_added_is_removed() {
    let log = Log::new();
    let office = Office::of(Strategy::OneForOne, 2, &[]).await;
    for puppet in [ignoring("a", &log), Puppet::new("b", &log)] {
        office.office.start_child(puppet.spec().restart(Restart::Temporary)).await.unwrap();
    }
    assert_eq!(states(&office.office.which_children().await.unwrap()), ["b running"]);
    assert_eq!(counts(&office.office).await, [1, 1, 0, 1]);
    office.close().await;
}

async fn a_dynamic_child_that_is_not_wanted_is_forgotten(restart: Restart) {
    let log = Log::new();
    let agency = Agency::of(2, &[]).await;
    assert!(agency.agency.start_child(ignoring("a", &log).spec().restart(restart)).await.unwrap().is_none());
    assert!(agency.agency.start_child(Puppet::new("b", &log).spec().restart(restart)).await.unwrap().is_some());
    assert_eq!(states(&agency.agency.which_children().await.unwrap()), ["b running"]);
    let count = agency.agency.count_children().await.unwrap();
    assert_eq!((count.specs, count.active), (1, 1));
    agency.close().await;
    assert_eq!(log.of(&[Moment::Down]), ["b down"]);
}

#[tokio::test]
async fn otp_6_a_temporary_dynamic_child_that_is_not_wanted_is_removed() {
    a_dynamic_child_that_is_not_wanted_is_forgotten(Restart::Temporary).await;
}

#[tokio::test]
async fn otp_7_a_permanent_dynamic_child_that_is_not_wanted_is_removed_and_the_supervisor_stops_cleanly() {
    a_dynamic_child_that_is_not_wanted_is_forgotten(Restart::Permanent).await;
}

/// Most of what `init` may return wrongly does not compile; the rest is refused as a value, and the caller lives on.
#[tokio::test]
async fn otp_8_a_specification_without_meaning_is_an_error_of_the_start() {
    let zero = RestartIntensity::new(2, std::time::Duration::ZERO);
    let refused = Supervisor::start("odd", SupervisorSpec::new(Strategy::OneForOne).intensity(zero)).await;
    assert!(matches!(refused, Err(StartError::Spec(SpecError::ZeroPeriod { max_restarts: 2 }))), "{refused:?}");
    let refused =
        foundation::supervision::DynamicSupervisor::start("odd", DynamicSupervisorSpec::default().intensity(zero))
            .await;
    assert!(matches!(refused, Err(StartError::Spec(SpecError::ZeroPeriod { .. }))), "{refused:?}");
}

#[tokio::test]
async fn otp_9_a_panic_during_the_start_is_an_error_with_its_text() {
    for moment in [Moment::Called, Moment::Starting] {
        let log = Log::new();
        let child = Puppet::new("a", &log);
        child.always(moment, Behavior::Panic("two and two is five"));
        let spec = SupervisorSpec::new(Strategy::OneForOne).child(child.spec());
        let error = Supervisor::start("doomed", spec).await.unwrap_err();
        assert!(error.to_string().contains("two and two is five"), "{error}");
        assert_eq!(child.alive(), 0);
    }
}

#[tokio::test]
async fn otp_10_a_child_that_does_not_start_when_added_is_an_error_and_is_not_kept() {
    for strategy in STRATEGIES {
        let log = Log::new();
        let office = Office::of(strategy, 2, &[]).await;
        for (moment, conduct) in
            [(Moment::Called, Behavior::Fail("no desk")), (Moment::Starting, Behavior::Panic("no desk"))]
        {
            let child = Puppet::new("a", &log);
            child.always(moment, conduct);
            let error = office.office.start_child(child.spec()).await.unwrap_err();
            assert!(matches!(error, ChildError::Start { .. }) && error.to_string().contains("no desk"), "{error}");
        }
        assert_eq!(counts(&office.office).await, [0, 0, 0, 0]);
        // The id is free again, and none of this counted as a restart.
        assert!(office.office.start_child(Puppet::new("a", &log).spec()).await.unwrap().is_some());
        office.close().await;
    }
}

#[tokio::test]
async fn otp_11_a_child_that_does_not_start_again_on_request_is_an_error_and_stays_stopped() {
    for strategy in STRATEGIES {
        let log = Log::new();
        let child = Puppet::new("a", &log);
        let office = Office::of(strategy, 0, &[&child]).await;
        office.office.terminate_child("a").await.unwrap();
        child.next(Moment::Starting, Behavior::Fail("no desk"));
        let error = office.office.restart_child("a").await.unwrap_err();
        assert!(matches!(error, ChildError::Start { .. }) && error.to_string().contains("no desk"), "{error}");
        assert_eq!(states(&at_rest(&office.office).await), ["a stopped"]);
        assert!(office.office.restart_child("a").await.unwrap().is_some());
        office.close().await;
    }
}

#[tokio::test]
async fn otp_12_a_dynamic_child_that_does_not_start_is_an_error_and_is_not_kept() {
    let log = Log::new();
    let agency = Agency::of(0, &[]).await;
    for (moment, conduct) in
        [(Moment::Called, Behavior::Fail("no desk")), (Moment::Starting, Behavior::Fail("no desk"))]
    {
        let child = Puppet::new("a", &log);
        child.always(moment, conduct);
        let error = agency.agency.start_child(child.spec()).await.unwrap_err();
        assert!(matches!(error, ChildError::Start { .. }) && error.to_string().contains("no desk"), "{error}");
    }
    assert_eq!(agency.agency.which_children().await.unwrap(), []);
    agency.close().await;
}
