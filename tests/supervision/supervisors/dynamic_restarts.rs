//! Section 4: which children are restarted, and restarts that fail.

use std::time::Duration;

use foundation::Restart;
use foundation::supervision::{ChildError, ChildState, DynamicSupervisorSpec, RestartIntensity};
use foundation_testkit::{Behavior, Command, Log, Moment, Puppet, assert_error, eventually, until};

use crate::otp::{Agency, at_most, shutdown, states};

/// A way to end, and whether it is abnormal.
type End = (fn(&Puppet), bool);

const ENDS: [End; 6] = [
    (|puppet| puppet.order(Command::Stop(None)), false),
    (|puppet| puppet.order(Command::Stop(Some("shutdown"))), false),
    (|puppet| puppet.order(Command::Stop(Some("tidied up"))), false),
    (|puppet| puppet.order(Command::Fail("broken")), true),
    (|puppet| puppet.order(Command::Panic("oh")), true),
    (|puppet| puppet.latest().kill(), true),
];

/// Whether the child was restarted after this end.
async fn comes_back(restart: Restart, end: fn(&Puppet)) -> bool {
    let puppet = Puppet::new("puppet", &Log::new());
    let mut agency = Agency::of(1, &[]).await;
    agency.agency.start_child(puppet.spec().restart(restart)).await.unwrap();
    end(&puppet);
    agency.reports.exited("puppet").await;
    let running = eventually("its rest", async || {
        match agency.agency.which_children().await.unwrap().first().map(|child| child.state) {
            None => Some(false),
            Some(ChildState::Running(_)) => Some(true),
            Some(_) => None,
        }
    })
    .await;
    assert_eq!(puppet.alive(), usize::from(running));
    agency.close().await;
    running
}

#[tokio::test]
async fn dyn_4_a_temporary_child_is_never_restarted() {
    for (end, _) in ENDS {
        assert!(!comes_back(Restart::Temporary, end).await);
    }
}

#[tokio::test]
async fn dyn_4_a_transient_child_is_restarted_unless_its_end_is_normal_or_a_shutdown() {
    for (end, abnormal) in ENDS {
        assert_eq!(comes_back(Restart::Transient, end).await, abnormal);
    }
}

#[tokio::test]
async fn dyn_4_a_permanent_child_is_always_restarted() {
    for (end, _) in ENDS {
        assert!(comes_back(Restart::Permanent, end).await);
    }
}

/// An intensity that is not exceeded during a test, with a time-out that keeps a retry from spinning.
fn patient() -> DynamicSupervisorSpec {
    DynamicSupervisorSpec::default().intensity(at_most(u32::MAX))
}

#[tokio::test]
async fn dyn_4_a_child_that_is_not_wanted_at_its_restart_is_removed() {
    let puppet = Puppet::new("puppet", &Log::new());
    let agency = Agency::open(patient()).await;
    agency.agency.start_child(puppet.spec()).await.unwrap();
    puppet.next(Moment::Called, Behavior::Ignore);
    puppet.order(Command::Fail("broken"));
    until("its removal", async || agency.agency.count_children().await.unwrap().specs == 0).await;
    agency.close().await;
}

#[tokio::test]
async fn dyn_4_a_child_whose_restart_fails_is_restarting() {
    let puppet = Puppet::new("puppet", &Log::new());
    let mut agency = Agency::open(patient()).await;
    agency.agency.start_child(puppet.spec()).await.unwrap();
    puppet.always(Moment::Starting, Behavior::Fail("not yet"));
    puppet.order(Command::Fail("broken"));
    agency.reports.start_failed("puppet").await;
    assert_eq!(states(&agency.agency.which_children().await.unwrap()), ["puppet restarting"]);
    let count = agency.agency.count_children().await.unwrap();
    assert_eq!((count.specs, count.active, count.workers), (1, 0, 1));
    agency.close().await;
}

async fn keeps_its_place(conduct: Behavior) {
    let log = Log::new();
    let (puppet, other) = (Puppet::new("puppet", &log), Puppet::new("other", &log));
    let mut agency = Agency::open(patient().max_children(1)).await;
    agency.agency.start_child(puppet.spec()).await.unwrap();
    puppet.always(Moment::Starting, conduct);
    puppet.order(Command::Fail("broken"));
    agency.reports.start_failed("puppet").await;
    let error = agency.agency.start_child(other.spec()).await.unwrap_err();
    assert!(matches!(error, ChildError::TooManyChildren { max_children: 1 }), "{error}");
    puppet.always(Moment::Starting, Behavior::Proceed);
    agency.reports.restarted("puppet").await;
    assert_error!(agency.agency.start_child(other.spec()).await, ChildError::TooManyChildren { max_children: 1 });
    agency.close().await;
}

#[tokio::test]
async fn dyn_4_a_child_whose_restart_fails_counts_toward_max_children() {
    keeps_its_place(Behavior::Fail("not yet")).await;
}

#[tokio::test]
async fn dyn_4_a_child_whose_restart_panics_counts_toward_max_children() {
    keeps_its_place(Behavior::Panic("not yet")).await;
}

/// See `dyn_4_common_arguments_of_all_children_are_captured_by_their_start_functions`.
#[tokio::test]
async fn dyn_4_a_start_function_keeps_its_captures_over_restarts() {
    let puppet = Puppet::new("puppet", &Log::new());
    let mut agency = Agency::of(3, &[&puppet]).await;
    for life in 2..=4 {
        puppet.order(Command::Fail("broken"));
        agency.reports.restarted("puppet").await;
        assert_eq!(foundation_testkit::ping(&puppet.latest()).await, Some(life));
    }
    agency.close().await;
}

#[tokio::test]
async fn dyn_4_a_restart_is_tried_until_it_works() {
    let puppet = Puppet::new("puppet", &Log::new());
    let mut agency = Agency::open(patient()).await;
    agency.agency.start_child(puppet.spec()).await.unwrap();
    for _ in 0..5 {
        puppet.next(Moment::Starting, Behavior::Fail("not yet"));
    }
    puppet.order(Command::Fail("broken"));
    let actor = agency.reports.restarted("puppet").await;
    assert_eq!((puppet.id(), puppet.alive(), puppet.overlaps()), (actor, 1, 0));
    agency.close().await;
}

#[tokio::test]
async fn dyn_4_a_restart_beyond_the_intensity_stops_the_supervisor_with_shutdown() {
    let log = Log::new();
    let (puppet, sibling) = (Puppet::new("puppet", &log), Puppet::new("sibling", &log));
    let mut agency = Agency::of(1, &[&puppet, &sibling]).await;
    puppet.order(Command::Fail("broken"));
    agency.reports.restarted("puppet").await;
    puppet.order(Command::Fail("broken"));
    assert_eq!(agency.ended().await, shutdown());
    agency.close().await;
    assert_eq!((puppet.alive(), sibling.alive()), (0, 0));
    assert_eq!(log.count("sibling", Moment::Down), 1);
}

#[tokio::test]
async fn dyn_4_a_retry_beyond_the_intensity_stops_the_supervisor_with_shutdown() {
    let puppet = Puppet::new("puppet", &Log::new());
    let mut agency =
        Agency::open(DynamicSupervisorSpec::default().intensity(RestartIntensity::new(5, Duration::MAX))).await;
    agency.agency.start_child(puppet.spec()).await.unwrap();
    puppet.always(Moment::Starting, Behavior::Fail("never again"));
    puppet.order(Command::Fail("broken"));
    assert_eq!(agency.reports.gave_up().await, "puppet");
    assert_eq!(agency.ended().await, shutdown());
    agency.close().await;
}
