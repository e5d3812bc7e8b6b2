//! 1.10: what a supervisor releases, and how it scales.

use std::time::{Duration, Instant};

use foundation::supervision::SupervisorSpec;
use foundation::{Restart, Strategy};
use foundation_testkit::{Command, Log, Puppet};

use super::strategies::laden;
use super::{Agency, End, Office, STRATEGIES, at_most, at_rest, states};

#[tokio::test]
async fn otp_80_the_start_function_of_a_temporary_child_is_not_kept() {
    for strategy in STRATEGIES {
        for (restart, kept) in [(Restart::Temporary, 0), (Restart::Transient, 1), (Restart::Permanent, 1)] {
            let office = Office::of(strategy, 0, &[]).await;
            let (spec, load) = laden("a", restart);
            office.office.start_child(spec).await.unwrap();
            assert_eq!(load.strong_count(), kept, "{strategy}, {restart}");
            office.close().await;
            assert_eq!(load.strong_count(), 0);
        }
    }
    // The fourth of OTP's strategies.
    let agency = Agency::of(0, &[]).await;
    let (spec, load) = laden("a", Restart::Temporary);
    agency.agency.start_child(spec).await.unwrap();
    assert_eq!(load.strong_count(), 0);
    agency.close().await;
}

/// The top supervisor of a tree no longer needs its initial list of children.
#[tokio::test]
async fn otp_80_a_top_supervisor_does_not_keep_the_start_functions_of_its_temporary_children() {
    let (spec, load) = laden("a", Restart::Temporary);
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(spec);
    let sup = foundation::Supervisor::start("top", spec).await.unwrap();
    assert_eq!(load.strong_count(), 0);
    sup.shutdown().await;
}

const ENDS: [(&str, End); 3] = [
    ("killed", |child| child.latest().kill()),
    ("normal", |child| child.order(Command::Stop(None))),
    ("abnormal", |child| child.order(Command::Fail("broken"))),
];

async fn left(strategy: Strategy, restart: Restart, end: Option<End>) -> Vec<String> {
    let child = Puppet::new("child", &Log::new());
    let mut office = Office::open(SupervisorSpec::new(strategy).intensity(at_most(2))).await;
    office.office.start_child(child.spec().restart(restart)).await.unwrap();
    match end {
        Some(end) => {
            end(&child);
            office.reports.exited("child").await;
        }
        None => office.office.terminate_child("child").await.unwrap(),
    }
    let left = states(&at_rest(&office.office).await);
    office.close().await;
    left
}

#[tokio::test]
async fn otp_81_the_specification_of_a_temporary_child_is_not_kept() {
    for strategy in STRATEGIES {
        for (how, end) in ENDS {
            assert_eq!(left(strategy, Restart::Permanent, Some(end)).await, ["child running"], "{how}");
            let transient = if how == "normal" { "child stopped" } else { "child running" };
            assert_eq!(left(strategy, Restart::Transient, Some(end)).await, [transient], "{how}");
            assert_eq!(left(strategy, Restart::Temporary, Some(end)).await, Vec::<String>::new(), "{how}");
        }
        assert_eq!(left(strategy, Restart::Permanent, None).await, ["child stopped"]);
        assert_eq!(left(strategy, Restart::Transient, None).await, ["child stopped"]);
        assert_eq!(left(strategy, Restart::Temporary, None).await, Vec::<String>::new());
    }
}

/// The best of three: other tests run at the same time.
async fn best<F: Future<Output = Duration>>(run: impl Fn() -> F) -> Duration {
    let times = [run().await, run().await, run().await];
    times.into_iter().min().unwrap_or_default()
}

async fn terminate_temporary(children: usize) -> Duration {
    let agency = Agency::of(0, &[]).await;
    let spec = Puppet::new("child", &Log::new()).spec().restart(Restart::Temporary);
    let mut actors = Vec::new();
    for _ in 0..children {
        actors.push(agency.agency.start_child(spec.clone()).await.unwrap().unwrap().get_id());
    }
    let begun = Instant::now();
    for actor in actors {
        agency.agency.terminate_child(actor).await.unwrap();
    }
    let took = begun.elapsed();
    agency.close().await;
    took
}

/// Ten times the children should take ten times as long; OTP allows fifty, and so do we.
#[tokio::test]
async fn otp_82_ten_times_the_temporary_children_take_about_ten_times_as_long_to_terminate() {
    let few = best(|| terminate_temporary(200)).await;
    let many = best(|| terminate_temporary(2000)).await;
    assert!(many < 50 * few, "{few:?} for 200, {many:?} for 2000");
}

async fn start_and_stop(children: usize) -> (Duration, Duration) {
    let office = Office::of(Strategy::OneForOne, 0, &[]).await;
    let log = Log::new();
    let ids: Vec<_> = (0..children).map(|n| format!("child {n}")).collect();
    let begun = Instant::now();
    for id in &ids {
        office.office.start_child(Puppet::new(id, &log).spec()).await.unwrap();
    }
    let started = begun.elapsed();
    let begun = Instant::now();
    for id in &ids {
        office.office.terminate_child(id).await.unwrap();
    }
    let stopped = begun.elapsed();
    office.close().await;
    (started, stopped)
}

#[tokio::test]
async fn otp_83_starting_and_stopping_many_children_is_linear() {
    let few = start_and_stop(300).await;
    let many = start_and_stop(6000).await;
    // OTP's limit: ten times what linear would be.
    assert!(many.0 < 200 * few.0, "{:?} for 300, {:?} for 6000", few.0, many.0);
    assert!(many.1 < 200 * few.1, "{:?} for 300, {:?} for 6000", few.1, many.1);
}
