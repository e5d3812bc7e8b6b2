//! Section 4: stopping children, one or all. The shutdown times that Elixir refuses do not compile here.

use std::time::Duration;

use foundation::Restart;
use foundation::supervision::{ChildError, ChildEvent, Shutdown, Stopped};
use foundation_testkit::{Behavior, Command, Log, Moment, Puppet, soon};
use tokio::time::Instant;

use crate::otp::{Agency, at_most};

const SECOND: Duration = Duration::from_secs(1);

/// How children were stopped, by name, and the total time.
async fn stopped(children: &[(&Puppet, Restart, Shutdown)]) -> (Vec<(String, Stopped)>, Duration) {
    let mut agency = Agency::of(0, &[]).await;
    for (puppet, restart, rule) in children {
        agency.agency.start_child(puppet.spec().restart(*restart).shutdown(*rule)).await.unwrap();
    }
    let begun = Instant::now();
    soon("the shutdown", agency.top.shutdown()).await;
    let took = begun.elapsed();
    let mut how: Vec<_> = agency
        .reports
        .rest()
        .into_iter()
        .filter_map(|report| match report.happened {
            ChildEvent::Stopped { how, .. } if report.child.as_str() != "agency" => {
                Some((report.child.to_string(), how))
            }
            _ => None,
        })
        .collect();
    how.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(children.iter().all(|(puppet, ..)| puppet.alive() == 0));
    (how, took)
}

fn named<const N: usize>(how: [(&str, Stopped); N]) -> Vec<(String, Stopped)> {
    how.map(|(child, how)| (child.to_owned(), how)).into()
}

#[tokio::test(start_paused = true)]
async fn dyn_4_any_shutdown_time_is_accepted() {
    let times =
        [Shutdown::Timeout(Duration::ZERO), Shutdown::Timeout(Duration::MAX), Shutdown::Infinity, Shutdown::BrutalKill];
    let (log, agency) = (Log::new(), Agency::of(0, &[]).await);
    for rule in times {
        let child = Puppet::new("puppet", &log).spec().shutdown(rule);
        let child = agency.agency.start_child(child).await.unwrap().unwrap();
        agency.agency.terminate_child(child.get_id()).await.unwrap();
    }
    agency.close().await;
}

#[tokio::test(start_paused = true)]
async fn dyn_4_brutal_kill_does_not_ask_the_children() {
    let log = Log::new();
    let puppet = Puppet::new("a", &log);
    let how = stopped(&[(&puppet, Restart::Permanent, Shutdown::BrutalKill)]).await;
    assert_eq!(how, (named([("a", Stopped::Brutally)]), Duration::ZERO));
    assert_eq!(log.count("a", Moment::Stopping), 0);
}

#[tokio::test(start_paused = true)]
async fn dyn_4_infinity_waits() {
    let puppet = Puppet::new("a", &Log::new());
    puppet.always(Moment::Stopping, Behavior::Take(30 * SECOND));
    let how = stopped(&[(&puppet, Restart::Permanent, Shutdown::Infinity)]).await;
    assert_eq!(how, (named([("a", Stopped::InTime)]), 30 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn dyn_4_infinity_with_an_end_for_another_reason() {
    for conduct in [Behavior::Fail("broken on the way out"), Behavior::Panic("oh")] {
        let puppet = Puppet::new("a", &Log::new());
        puppet.always(Moment::Stopping, conduct);
        let how = stopped(&[(&puppet, Restart::Permanent, Shutdown::Infinity)]).await;
        assert_eq!(how, (named([("a", Stopped::InTime)]), Duration::ZERO));
    }
}

#[tokio::test(start_paused = true)]
async fn dyn_4_a_time_is_waited_for_as_long_as_it_is_needed() {
    let puppet = Puppet::new("a", &Log::new());
    puppet.always(Moment::Stopping, Behavior::Take(SECOND));
    let how = stopped(&[(&puppet, Restart::Permanent, Shutdown::Timeout(2 * SECOND))]).await;
    assert_eq!(how, (named([("a", Stopped::InTime)]), SECOND));
}

#[tokio::test(start_paused = true)]
async fn dyn_4_a_time_with_an_end_for_another_reason() {
    for conduct in [Behavior::Fail("broken on the way out"), Behavior::Panic("oh")] {
        let puppet = Puppet::new("a", &Log::new());
        puppet.always(Moment::Stopping, conduct);
        let how = stopped(&[(&puppet, Restart::Permanent, Shutdown::Timeout(SECOND))]).await;
        assert_eq!(how, (named([("a", Stopped::InTime)]), Duration::ZERO));
    }
}

#[tokio::test(start_paused = true)]
async fn dyn_4_a_time_that_is_over_kills_that_child_and_the_siblings_are_shut_down() {
    let log = Log::new();
    let puppets = ["a", "b", "c"].map(|name| Puppet::new(name, &log));
    puppets[1].always(Moment::Stopping, Behavior::Hang);
    let children = [0, 1, 2].map(|n| (&puppets[n], Restart::Permanent, Shutdown::Timeout(SECOND)));
    let how = stopped(&children).await;
    assert_eq!(how, (named([("a", Stopped::InTime), ("b", Stopped::Killed), ("c", Stopped::InTime)]), SECOND));
    assert_eq!(log.of(&[Moment::Down]).len(), 2);
}

/// A permanent child that ends by itself while the others are stopped is not restarted.
#[tokio::test(start_paused = true)]
async fn dyn_4_a_permanent_child_that_ends_during_the_shutdown_is_not_restarted() {
    let log = Log::new();
    let (slow, ending) = (Puppet::new("slow", &log), Puppet::new("ending", &log));
    slow.always(Moment::Stopping, Behavior::Take(2 * SECOND));
    let agency = Agency::of(0, &[]).await;
    for puppet in [&slow, &ending] {
        agency.agency.start_child(puppet.spec().shutdown(Shutdown::Infinity)).await.unwrap();
    }
    ending.order(Command::Stop(None));
    soon("the shutdown", agency.top.shutdown()).await;
    assert_eq!((log.count("ending", Moment::Called), ending.alive(), slow.alive()), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn dyn_4_children_of_all_rules_stop_together() {
    let log = Log::new();
    let puppets = ["a", "b", "c", "d"].map(|name| Puppet::new(name, &log));
    puppets[1].always(Moment::Stopping, Behavior::Take(3 * SECOND));
    puppets[2].always(Moment::Stopping, Behavior::Take(2 * SECOND));
    puppets[3].always(Moment::Stopping, Behavior::Hang);
    let how = stopped(&[
        (&puppets[0], Restart::Permanent, Shutdown::BrutalKill),
        (&puppets[1], Restart::Transient, Shutdown::Infinity),
        (&puppets[2], Restart::Temporary, Shutdown::Timeout(5 * SECOND)),
        (&puppets[3], Restart::Permanent, Shutdown::Timeout(SECOND)),
    ])
    .await;
    let expected = [("a", Stopped::Brutally), ("b", Stopped::InTime), ("c", Stopped::InTime), ("d", Stopped::Killed)];
    assert_eq!(how, (named(expected), 3 * SECOND));
}

async fn terminated_once(rule: Shutdown) {
    let puppet = Puppet::new("puppet", &Log::new());
    let agency = Agency::of(0, &[]).await;
    let child = agency.agency.start_child(puppet.spec().shutdown(rule)).await.unwrap().unwrap().get_id();
    agency.agency.terminate_child(child).await.unwrap();
    assert_eq!((puppet.alive(), agency.agency.count_children().await.unwrap().specs), (0, 0));
    let error = agency.agency.terminate_child(child).await.unwrap_err();
    assert!(matches!(error, ChildError::NotFound { .. }), "{error}");
    agency.close().await;
}

#[tokio::test]
async fn dyn_4_a_child_that_is_killed_by_request_is_not_found_again() {
    terminated_once(Shutdown::BrutalKill).await;
}

#[tokio::test]
async fn dyn_4_a_child_that_is_stopped_by_request_is_not_found_again() {
    terminated_once(Shutdown::Timeout(SECOND)).await;
}

#[tokio::test]
async fn dyn_4_a_child_that_is_restarting_can_be_terminated_and_stays_gone() {
    let log = Log::new();
    let puppet = Puppet::new("puppet", &log);
    let mut agency =
        Agency::open(foundation::supervision::DynamicSupervisorSpec::default().intensity(at_most(u32::MAX))).await;
    let child = agency.agency.start_child(puppet.spec()).await.unwrap().unwrap().get_id();
    puppet.always(Moment::Called, Behavior::Fail("not yet"));
    puppet.order(Command::Fail("broken"));
    agency.reports.start_failed("puppet").await;
    agency.agency.terminate_child(child).await.unwrap();
    let starts = log.count("puppet", Moment::Called);
    assert_eq!(agency.agency.count_children().await.unwrap().specs, 0);
    agency.close().await;
    assert_eq!(log.count("puppet", Moment::Called), starts);
}
