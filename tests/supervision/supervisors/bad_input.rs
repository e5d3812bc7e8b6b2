//! Faulty starts and stops: each a typed error, or a fault that stays where it is.

use std::time::Duration;

use foundation::supervision::{
    ChildError, ChildEvent, ChildKind, Shutdown, Start, StartError, Stopped, SupervisorSpec,
};
use foundation::{ChildSpec, Strategy, Supervisor};
use foundation_testkit::{Behavior, Log, Moment, Puppet, soon};
use tokio::time::Instant;

use crate::otp::{Office, counts, states};

const SECOND: Duration = Duration::from_secs(1);

/// A start function that panics before it has made its future.
fn panicking() -> ChildSpec {
    ChildSpec::from_fn("panicking", ChildKind::Worker, |_| {
        if true {
            panic!("no such desk");
        }
        async { Ok(Start::Ignore) }
    })
}

#[tokio::test]
async fn bad_input_a_start_function_that_panics_is_the_error_of_the_first_start() {
    let log = Log::new();
    let before = Puppet::new("before", &log);
    let spec = SupervisorSpec::new(Strategy::OneForOne).children([before.spec(), panicking()]);
    let error = Supervisor::start("office", spec).await.unwrap_err();
    assert!(matches!(error.root_cause(), StartError::Panicked(text) if text == "no such desk"), "{error}");
    assert_eq!((before.alive(), log.count("before", Moment::Down)), (0, 1));
}

#[tokio::test]
async fn bad_input_a_start_function_that_panics_is_the_error_of_the_request() {
    let sibling = Puppet::new("sibling", &Log::new());
    let office = Office::of(Strategy::OneForAll, 0, &[&sibling]).await;
    let error = office.office.start_child(panicking()).await.unwrap_err();
    let ChildError::Start { id, error: StartError::Panicked(text) } = &error else { panic!("{error}") };
    assert_eq!((id.as_str(), text.as_str()), ("panicking", "no such desk"));
    assert_eq!(states(&office.office.which_children().await.unwrap()), ["sibling running"]);
    assert_eq!(foundation_testkit::ping(&sibling.latest()).await, Some(1));
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn bad_input_a_start_that_never_returns_is_ended_by_its_time_out() {
    let hanging = Puppet::new("hanging", &Log::new());
    hanging.always(Moment::Starting, Behavior::Hang);
    let office = Office::of(Strategy::OneForOne, 0, &[]).await;
    let begun = Instant::now();
    let error = office.office.start_child(hanging.spec().start_timeout(SECOND)).await.unwrap_err();
    assert!(matches!(error, ChildError::Start { error: StartError::TimedOut(SECOND), .. }), "{error}");
    assert_eq!((begun.elapsed(), hanging.alive(), counts(&office.office).await), (SECOND, 0, [0; 4]));
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn bad_input_a_post_stop_that_hangs_is_bounded_by_the_childs_time() {
    let hanging = Puppet::new("hanging", &Log::new());
    hanging.always(Moment::Stopping, Behavior::Hang);
    let office = Office::of(Strategy::OneForOne, 0, &[]).await;
    office.office.start_child(hanging.spec().shutdown(Shutdown::Timeout(SECOND))).await.unwrap();
    let begun = Instant::now();
    office.office.terminate_child("hanging").await.unwrap();
    assert_eq!((begun.elapsed(), hanging.alive()), (SECOND, 0));
    office.close().await;
}

/// The child itself may take for ever, but its group may not.
#[tokio::test(start_paused = true)]
async fn bad_input_a_post_stop_that_hangs_is_bounded_by_the_time_of_the_group_around_it() {
    let log = Log::new();
    let (hanging, sibling) = (Puppet::new("hanging", &log), Puppet::new("sibling", &log));
    hanging.always(Moment::Stopping, Behavior::Hang);
    let children = [&sibling, &hanging].map(|child| child.spec().shutdown(Shutdown::Infinity));
    let inner = SupervisorSpec::new(Strategy::OneForOne).children(children);
    let group = ChildSpec::supervisor("group", inner).shutdown(Shutdown::Timeout(3 * SECOND));
    let mut office = Office::open(SupervisorSpec::new(Strategy::OneForOne).child(group)).await;
    let begun = Instant::now();
    soon("the end of the group", office.office.terminate_child("group")).await.unwrap();
    assert_eq!((begun.elapsed(), hanging.alive(), sibling.alive()), (3 * SECOND, 0, 0));
    office
        .reports
        .find("a group that had to be killed", |report| {
            let killed = matches!(report.happened, ChildEvent::Stopped { how: Stopped::Killed, .. });
            (killed && report.child.as_str() == "group").then_some(())
        })
        .await;
    office.close().await;
}
