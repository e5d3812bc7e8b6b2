//! 1.3: stopping children in order, in time or not.

use std::time::Duration;

use foundation::supervision::{ChildEvent, ChildKind, Shutdown, Stopped, SupervisorSpec};
use foundation::{ChildSpec, Restart, Strategy};
use foundation_testkit::{Behavior, Command, ExitMonitor, Gate, Log, Moment, Puppet, Reports, soon};
use tokio::time::Instant;

use super::{Agency, End, Office};

const SECOND: Duration = Duration::from_secs(1);

/// How each child of the office or agency was stopped, in the order in which they were gone.
fn stops(reports: &mut Reports) -> Vec<(String, Stopped)> {
    let how = |report: foundation::supervision::Report| match report.happened {
        ChildEvent::Stopped { how, .. } => Some((report.child.to_string(), how)),
        _ => None,
    };
    reports.rest().into_iter().filter_map(how).collect()
}

fn stopped(child: &str, how: Stopped) -> (String, Stopped) {
    (child.to_owned(), how)
}

#[tokio::test(start_paused = true)]
async fn otp_16_infinity_waits_for_workers_and_supervisors_and_their_reason_is_shutdown() {
    let log = Log::new();
    let (boss, clerk) = (Puppet::new("boss", &log), Puppet::new("clerk", &log));
    for child in [&boss, &clerk] {
        child.always(Moment::Stopping, Behavior::Take(1000 * SECOND));
    }
    let children = [boss.spec_as(ChildKind::Supervisor), clerk.spec()].map(|spec| spec.shutdown(Shutdown::Infinity));
    let mut office = Office::open(SupervisorSpec::new(Strategy::OneForOne).children(children)).await;
    let mut witness = ExitMonitor::new().await;
    for child in [&boss, &clerk] {
        witness.watch(&child.latest());
    }
    let begun = Instant::now();
    office.top.shutdown().await;
    assert!(begun.elapsed() >= 2000 * SECOND, "{:?}", begun.elapsed());
    assert_eq!(witness.end_of(boss.id()).await, "shutdown");
    assert_eq!(witness.end_of(clerk.id()).await, "shutdown");
    assert_eq!(log.of(&[Moment::Down]), ["clerk down", "boss down"]);
    let in_time = ["clerk", "boss", "office"].map(|child| stopped(child, Stopped::InTime));
    assert_eq!(stops(&mut office.reports), in_time);
}

#[tokio::test(start_paused = true)]
async fn otp_17_a_child_that_does_not_stop_in_time_is_killed_and_the_other_stops_normally() {
    let log = Log::new();
    let (quick, slow) = (Puppet::new("quick", &log), Puppet::new("slow", &log));
    let children = [&quick, &slow].map(|child| child.spec().shutdown(Shutdown::Timeout(SECOND)));
    let mut office = Office::open(SupervisorSpec::new(Strategy::OneForOne).children(children)).await;
    slow.order(Command::Hang);
    let begun = Instant::now();
    office.top.shutdown().await;
    assert_eq!(begun.elapsed(), SECOND);
    assert_eq!(log.of(&[Moment::Stopping, Moment::Dropped]), ["slow dropped", "quick stopping", "quick dropped"]);
    let how = [stopped("slow", Stopped::Killed), stopped("quick", Stopped::InTime), stopped("office", Stopped::InTime)];
    assert_eq!(stops(&mut office.reports), how);
}

#[tokio::test(start_paused = true)]
async fn otp_17_a_post_stop_that_takes_too_long_is_killed() {
    let log = Log::new();
    let slow = Puppet::new("slow", &log);
    slow.always(Moment::Stopping, Behavior::Hang);
    let spec = slow.spec().shutdown(Shutdown::Timeout(SECOND));
    let mut office = Office::open(SupervisorSpec::new(Strategy::OneForOne).child(spec)).await;
    office.top.shutdown().await;
    assert_eq!(log.of(&[Moment::Stopping, Moment::Down, Moment::Dropped]), ["slow stopping", "slow dropped"]);
    assert_eq!(stops(&mut office.reports)[0], stopped("slow", Stopped::Killed));
}

#[tokio::test(start_paused = true)]
async fn otp_18_a_dynamic_child_that_does_not_stop_in_time_is_killed_and_the_other_stops_normally() {
    let log = Log::new();
    let (quick, slow) = (Puppet::new("quick", &log), Puppet::new("slow", &log));
    let mut agency = Agency::of(0, &[]).await;
    for child in [&quick, &slow] {
        agency.agency.start_child(child.spec().shutdown(Shutdown::Timeout(SECOND))).await.unwrap();
    }
    slow.order(Command::Hang);
    let begun = Instant::now();
    agency.top.shutdown().await;
    assert_eq!(begun.elapsed(), SECOND);
    assert_eq!(log.of(&[Moment::Stopping, Moment::Dropped]), ["quick stopping", "quick dropped", "slow dropped"]);
    let how = stops(&mut agency.reports);
    assert_eq!(how[..2], [stopped("slow", Stopped::Killed), stopped("quick", Stopped::InTime)]);
}

#[tokio::test(start_paused = true)]
async fn otp_19_brutal_kill_does_not_ask_and_the_sibling_stops_gracefully() {
    let log = Log::new();
    let (gentle, harsh) = (Puppet::new("gentle", &log), Puppet::new("harsh", &log));
    let children = [gentle.spec(), harsh.spec().shutdown(Shutdown::BrutalKill)];
    let mut office = Office::open(SupervisorSpec::new(Strategy::OneForOne).children(children)).await;
    let mut witness = ExitMonitor::new().await;
    witness.watch(&harsh.latest());
    let begun = Instant::now();
    office.top.shutdown().await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(log.of(&[Moment::Stopping, Moment::Dropped]), ["harsh dropped", "gentle stopping", "gentle dropped"]);
    assert_eq!(witness.end_of(harsh.id()).await, "killed");
    let how = stops(&mut office.reports);
    assert_eq!(how[..2], [stopped("harsh", Stopped::Brutally), stopped("gentle", Stopped::InTime)]);
}

#[tokio::test(start_paused = true)]
async fn otp_20_ten_dynamic_children_are_killed_at_once() {
    let log = Log::new();
    let agency = Agency::of(0, &[]).await;
    let children: Vec<_> = (0..10).map(|_| Puppet::new("harsh", &log)).collect();
    for child in &children {
        child.always(Moment::Stopping, Behavior::Hang);
        agency.agency.start_child(child.spec().shutdown(Shutdown::BrutalKill)).await.unwrap();
        child.order(Command::Hang);
    }
    let begun = Instant::now();
    agency.close().await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(log.count("harsh", Moment::Dropped), 10);
    assert_eq!(log.count("harsh", Moment::Stopping), 0);
}

/// What a witness sees of an end, and the end.
const ENDS: [(&str, End); 6] = [
    ("normal", |child| child.order(Command::Stop(None))),
    ("shutdown", |child| child.order(Command::Stop(Some("shutdown")))),
    ("tidied up", |child| child.order(Command::Stop(Some("tidied up")))),
    ("broken", |child| child.order(Command::Fail("broken"))),
    ("cracked", |child| child.order(Command::Panic("cracked"))),
    ("killed", |child| child.latest().kill()),
];

const RESTARTS: [Restart; 3] = [Restart::Permanent, Restart::Transient, Restart::Temporary];

#[tokio::test]
async fn otp_21_children_that_end_by_themselves_during_the_shutdown_keep_their_reason_and_are_not_restarted() {
    let log = Log::new();
    let gate = Gate::new();
    let last = Puppet::new("last", &log);
    last.always(Moment::Stopping, Behavior::Wait(gate.clone()));
    let racers: Vec<_> = RESTARTS
        .into_iter()
        .flat_map(|restart| {
            ENDS.map(|(text, end)| (Puppet::new(&format!("{restart} {text}"), &log), restart, text, end))
        })
        .collect();
    let specs: Vec<ChildSpec> = racers.iter().map(|(child, restart, ..)| child.spec().restart(*restart)).collect();
    let spec = SupervisorSpec::new(Strategy::OneForAll).children(specs).child(last.spec());
    let office = Office::open(spec).await;
    let mut witness = ExitMonitor::new().await;
    let top = office.top.clone();
    let closing = tokio::spawn(async move { top.shutdown().await });
    log.reached("last", Moment::Stopping, 1).await;
    // The supervisor is now busy stopping the child that was started last.
    for (child, _, _, end) in &racers {
        witness.watch(&child.latest());
        end(child);
    }
    for (child, _, text, _) in &racers {
        assert_eq!(witness.end_of(child.id()).await, *text);
    }
    gate.open();
    soon("shutdown", closing).await.unwrap();
    assert_eq!(log.of(&[Moment::Called]).len(), racers.len() + 1);
    assert!(racers.iter().all(|(child, ..)| child.alive() == 0));
}

#[tokio::test]
async fn otp_22_a_dynamic_supervisor_stops_cleanly_when_its_children_end_otherwise_than_asked() {
    let log = Log::new();
    let broken = Puppet::new("broken", &log);
    broken.always(Moment::Stopping, Behavior::Fail("broken on the way out"));
    let cracked = Puppet::new("cracked", &log);
    cracked.always(Moment::Stopping, Behavior::Panic("cracked on the way out"));
    let mut agency = Agency::of(0, &[&broken, &cracked]).await;
    soon("shutdown", agency.top.shutdown()).await;
    assert_eq!(log.of(&[Moment::Called]), ["broken called", "cracked called"]);
    let mut how = stops(&mut agency.reports);
    how.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(how, ["agency", "broken", "cracked"].map(|child| stopped(child, Stopped::InTime)));
}
