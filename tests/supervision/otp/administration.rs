//! 1.4: adding, stopping, starting again and removing children by request.
//!
//! 25 (the value that a start returns) is in `specs`, 27 (significant children) in
//! `significant`.

use std::time::Duration;

use foundation::ractor::Actor;
use foundation::supervision::{
    ChildError, ChildKind, DynamicSupervisor, DynamicSupervisorSpec, RestartIntensity, Shutdown, SpecError, StartError,
    SupervisorSpec,
};
use foundation::{ChildSpec, Restart, Strategy, Supervisor};
use foundation_testkit::{Command, Log, Moment, Puppet, error_text};

use super::{Agency, Office, STRATEGIES, counts, states};

#[tokio::test]
async fn otp_23_a_child_goes_through_every_request() {
    for strategy in STRATEGIES {
        let log = Log::new();
        let child = Puppet::new("child", &log);
        let office = Office::of(strategy, 2, &[&child]).await;
        let sup = &office.office;
        let first = child.id();
        assert_eq!(counts(sup).await, [1, 1, 0, 1]);

        // It runs.
        let error = sup.start_child(child.spec()).await.unwrap_err();
        assert!(matches!(error, ChildError::AlreadyStarted { actor, .. } if actor == first), "{error}");
        let error = sup.restart_child("child").await.unwrap_err();
        assert!(matches!(error, ChildError::Running { actor, .. } if actor == first), "{error}");
        let error = sup.delete_child("child").await.unwrap_err();
        assert!(matches!(error, ChildError::Running { .. }), "{error}");

        // It is stopped; stopping it again is no error.
        sup.terminate_child("child").await.unwrap();
        assert_eq!((child.alive(), log.count("child", Moment::Down)), (0, 1));
        sup.terminate_child("child").await.unwrap();
        assert_eq!(states(&sup.which_children().await.unwrap()), ["child stopped"]);
        assert_eq!(counts(sup).await, [1, 0, 0, 1]);
        assert!(sup.child("child").await.unwrap().is_none());
        let error = sup.start_child(child.spec()).await.unwrap_err();
        assert!(matches!(error, ChildError::AlreadyPresent { .. }), "{error}");

        // It runs again.
        let second = sup.restart_child("child").await.unwrap().unwrap().get_id();
        assert_ne!(first, second);
        assert_eq!(counts(sup).await, [1, 1, 0, 1]);

        // It is removed.
        sup.terminate_child("child").await.unwrap();
        sup.delete_child("child").await.unwrap();
        assert_eq!(sup.which_children().await.unwrap(), []);
        assert_eq!(counts(sup).await, [0, 0, 0, 0]);

        // The id is free.
        let third = sup.start_child(child.spec()).await.unwrap().unwrap().get_id();
        assert_eq!(sup.child("child").await.unwrap().unwrap().get_id(), third);
        office.close().await;
    }
}

/// A static supervisor knows its children by id only; an actor's id is no child's id.
#[tokio::test]
async fn otp_23_an_unknown_child_is_not_found_and_the_error_names_the_near_misses() {
    let log = Log::new();
    let office = Office::of(Strategy::OneForOne, 2, &[&Puppet::new("clerk", &log)]).await;
    let sup = &office.office;
    let actor = sup.child("clerk").await.unwrap().unwrap().get_id().to_string();
    for id in ["clark", &actor] {
        let errors = [
            sup.terminate_child(id).await.unwrap_err(),
            sup.restart_child(id).await.unwrap_err(),
            sup.delete_child(id).await.unwrap_err(),
            sup.child(id).await.unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(&error, ChildError::NotFound { asked, .. } if asked == id), "{error}");
        }
    }
    let error = sup.terminate_child("clark").await.unwrap_err();
    assert!(error.to_string().contains("clerk"), "{error}");
    assert_eq!(counts(sup).await, [1, 1, 0, 1]);
    office.close().await;
}

#[tokio::test]
async fn otp_23_a_supervisor_that_has_stopped_is_not_running() {
    let sup = Supervisor::start("closed", SupervisorSpec::new(Strategy::OneForOne)).await.unwrap();
    sup.shutdown().await;
    let errors = [
        sup.start_child(Puppet::new("a", &Log::new()).spec()).await.unwrap_err(),
        sup.restart_child("a").await.unwrap_err(),
        sup.terminate_child("a").await.unwrap_err(),
        sup.delete_child("a").await.unwrap_err(),
        sup.which_children().await.unwrap_err(),
        sup.count_children().await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(&error, ChildError::NotRunning { supervisor } if supervisor == "closed"), "{error}");
    }
}

/// There is no method to restart or delete a dynamic child, so nothing to refuse; `terminate_child` takes an actor, no
/// id. A terminated actor is unknown: that is Elixir's answer, where OTP's is `ok`.
#[tokio::test]
async fn otp_24_a_dynamic_child_is_terminated_by_its_actor() {
    let log = Log::new();
    let (a, b, foreign) = (Puppet::new("a", &log), Puppet::new("b", &log), Puppet::new("foreign", &log));
    let agency = Agency::of(2, &[]).await;
    let count = async || {
        let count = agency.agency.count_children().await.unwrap();
        [count.specs, count.active, count.supervisors, count.workers]
    };
    assert_eq!(count().await, [0, 0, 0, 0]);
    let first = agency.agency.start_child(a.spec()).await.unwrap().unwrap().get_id();
    assert_eq!(count().await, [1, 1, 0, 1]);
    let second = agency.agency.start_child(b.spec()).await.unwrap().unwrap().get_id();
    assert_eq!(count().await, [2, 2, 0, 2]);

    agency.agency.terminate_child(first).await.unwrap();
    assert_eq!((a.alive(), count().await), (0, [1, 1, 0, 1]));
    let error = agency.agency.terminate_child(first).await.unwrap_err();
    assert!(matches!(error, ChildError::NotFound { .. }), "{error}");

    let (actor, _task) = Actor::spawn(None, foreign.actor(), ()).await.unwrap();
    let error = agency.agency.terminate_child(actor.get_id()).await.unwrap_err();
    assert!(matches!(error, ChildError::NotFound { .. }), "{error}");
    assert_eq!(foundation_testkit::ping(&actor).await, Some(1));
    assert_eq!(
        agency.agency.which_children().await.unwrap()[0].state,
        foundation::supervision::ChildState::Running(second)
    );
    actor.stop(None);
    agency.close().await;
}

/// An outdated id does not affect the replacement.
#[tokio::test]
async fn otp_24_the_actor_of_an_earlier_life_identifies_no_child() {
    let child = Puppet::new("child", &Log::new());
    let mut agency = Agency::of(2, &[&child]).await;
    let before = child.id();
    child.order(Command::Fail("broken"));
    let after = agency.reports.restarted("child").await;
    let error = agency.agency.terminate_child(before).await.unwrap_err();
    assert!(matches!(error, ChildError::NotFound { .. }), "{error}");
    agency.agency.terminate_child(after).await.unwrap();
    agency.close().await;
}

#[tokio::test]
async fn otp_24_a_dynamic_supervisor_never_exceeds_max_children() {
    let log = Log::new();
    let agency = Agency::open(DynamicSupervisorSpec::default().max_children(1)).await;
    let first = agency.agency.start_child(Puppet::new("a", &log).spec()).await.unwrap().unwrap();
    let error = agency.agency.start_child(Puppet::new("b", &log).spec()).await.unwrap_err();
    assert!(matches!(error, ChildError::TooManyChildren { max_children: 1 }), "{error}");
    assert_eq!(log.count("b", Moment::Called), 0);
    agency.agency.terminate_child(first.get_id()).await.unwrap();
    assert!(agency.agency.start_child(Puppet::new("b", &log).spec()).await.unwrap().is_some());
    agency.close().await;
}

/// What OTP refuses one by one does not compile; the remaining cases are an id without a character and a taken one.
#[tokio::test]
async fn otp_26_every_combination_of_rules_is_accepted() {
    let log = Log::new();
    let shutdowns =
        [Shutdown::BrutalKill, Shutdown::Infinity, Shutdown::Timeout(Duration::ZERO), Shutdown::Timeout(Duration::MAX)];
    let mut children = Vec::new();
    for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
        for shutdown in shutdowns {
            for kind in [ChildKind::Worker, ChildKind::Supervisor] {
                let puppet = Puppet::new(&format!("{restart} {shutdown:?} {kind:?}"), &log);
                children.push(puppet.spec_as(kind).restart(restart).shutdown(shutdown));
            }
        }
    }
    for strategy in STRATEGIES {
        let office = Office::open(SupervisorSpec::new(strategy).children(children.clone())).await;
        assert_eq!(counts(&office.office).await, [24, 24, 12, 12]);
        office.close().await;
    }
}

#[tokio::test]
async fn otp_26_a_child_without_an_id_is_refused() {
    let log = Log::new();
    let nameless = Puppet::new("", &log);
    let office = Office::of(Strategy::OneForOne, 0, &[]).await;
    let error = office.office.start_child(nameless.spec()).await.unwrap_err();
    assert!(matches!(error, ChildError::Spec(SpecError::EmptyId)), "{error}");
    let agency = Agency::of(0, &[]).await;
    let error = agency.agency.start_child(nameless.spec()).await.unwrap_err();
    assert!(matches!(error, ChildError::Spec(SpecError::EmptyId)), "{error}");
    assert_eq!(log.of(&[Moment::Called]), Vec::<String>::new());
    office.close().await;
    agency.close().await;
}

/// Ids are labels in a dynamic supervisor.
#[tokio::test]
async fn otp_26_dynamic_children_may_share_an_id() {
    let log = Log::new();
    let agency = Agency::of(0, &[&Puppet::new("twin", &log), &Puppet::new("twin", &log)]).await;
    assert_eq!(states(&agency.agency.which_children().await.unwrap()), ["twin running", "twin running"]);
    agency.close().await;
}

/// Strategy and intensity cannot be invalid; a period can be zero.
#[tokio::test]
async fn otp_28_a_period_of_zero_is_refused_and_any_other_is_taken() {
    for max_restarts in [0, 2, u32::MAX] {
        let zero = RestartIntensity::new(max_restarts, Duration::ZERO);
        let error =
            Supervisor::start("zero", SupervisorSpec::new(Strategy::OneForOne).intensity(zero)).await.unwrap_err();
        let StartError::Spec(SpecError::ZeroPeriod { max_restarts: found }) = error else { panic!("{error}") };
        assert_eq!(found, max_restarts);
        for period in [Duration::from_nanos(1), Duration::MAX] {
            let child = Puppet::new("child", &Log::new());
            let intensity = RestartIntensity::new(max_restarts, period);
            let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(intensity).child(child.spec());
            let mut office = Office::open(spec).await;
            child.order(Command::Fail("broken"));
            match max_restarts {
                0 => assert_eq!(office.ended().await, super::shutdown()),
                _ => drop(office.reports.restarted("child").await),
            }
            office.close().await;
        }
    }
}

#[tokio::test]
async fn otp_28_a_dynamic_supervisor_within_a_tree_is_refused_with_its_place() {
    let zero = DynamicSupervisorSpec::default().intensity(RestartIntensity::new(1, Duration::ZERO));
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(ChildSpec::dynamic_supervisor("inner", zero.clone()));
    let error = Supervisor::start("outer", spec).await.unwrap_err();
    assert!(error.to_string().starts_with("child inner did not start: a restart intensity of 1"), "{error}");
    let error = error_text(DynamicSupervisor::start("alone", zero).await);
    assert!(error.starts_with("a restart intensity of 1"), "{error}");
}
