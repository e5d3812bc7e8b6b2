//! The chain of causes from a child's failure up to the top of the tree, as values: the cause of a restart, the reason
//! why a supervisor gave up, and its consequences above it.

use std::sync::Arc;
use std::time::Duration;

use foundation::supervision::{
    Backoff, ChildEvent, ExitReason, Report, Reporter, RestartCause, RestartLimitExceeded, RestartReason,
    SupervisorSpec,
};
use foundation::{ChildSpec, Restart, Strategy, Supervisor};
use foundation_testkit::{Behavior, Command, Moment, Puppet, Reports, reports};

use super::{Office, at_most, puppets, shutdown};

async fn cause(reports: &mut Reports, child: &str) -> Arc<RestartCause> {
    let pick = |report: &Report| match &report.happened {
        ChildEvent::Started { cause, .. } if report.child.as_str() == child => cause.clone(),
        _ => None,
    };
    reports.find(&format!("the restart of {child}"), pick).await
}

async fn gave_up(reports: &mut Reports, supervisor: &str) -> Arc<RestartLimitExceeded> {
    let pick = |report: &Report| match &report.happened {
        ChildEvent::GaveUp { cause } if &*report.supervisor == supervisor => Some(Arc::clone(cause)),
        _ => None,
    };
    reports.find(&format!("the end of {supervisor}"), pick).await
}

#[tokio::test]
async fn a_restart_reports_its_cause_its_strategy_and_the_remaining_restarts() {
    let (_, [a, b, c]) = puppets(["a", "b", "c"]);
    let mut office = Office::of(Strategy::RestForOne, 3, &[&a, &b, &c]).await;
    for used in 1..=3 {
        b.order(Command::Fail("broken"));
        for restarted in ["b", "c"] {
            let cause = cause(&mut office.reports, restarted).await;
            assert_eq!((cause.trigger.child.as_str(), cause.strategy, cause.used), ("b", Strategy::RestForOne, used));
            assert_eq!(cause.trigger.reason, RestartReason::Exited(ExitReason::Failed("broken".into())));
            assert_eq!(cause.intensity, at_most(3));
        }
    }
    assert_eq!(
        office.office.restart_child("a").await.unwrap_err().to_string(),
        format!("child a is running, as actor {}; terminate it first", a.id())
    );
    office.close().await;
}

#[tokio::test]
async fn a_child_with_an_intensity_of_its_own_is_given_up_for_its_own_failures_alone() {
    let (_, [a, b]) = puppets(["a", "b"]);
    let (reporter, mut reports) = reports();
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(a.spec()).child(b.spec().intensity(at_most(1)));
    let office = Supervisor::start("office", spec.reporter(reporter)).await.unwrap();
    for (name, puppet) in [("b", &b), ("a", &a)] {
        puppet.order(Command::Fail("broken"));
        reports.restarted(name).await;
    }
    b.order(Command::Fail("broken again"));
    let why = gave_up(&mut reports, "office").await;
    let failed: Vec<_> = why.triggers.iter().map(|failure| failure.child.as_str()).collect();
    assert_eq!((failed, why.count, why.intensity), (vec!["b", "b"], 2, at_most(1)));
    office.wait_until_gone().await;
}

#[tokio::test]
async fn a_start_by_request_has_no_cause_and_a_decision_is_reported_before_it_is_carried_out() {
    let (_, [a]) = puppets(["a"]);
    let mut office = Office::of(Strategy::OneForOne, 3, &[&a]).await;
    office.reports.rest();
    let first = a.id();
    a.order(Command::Panic("cracked"));
    let second = office.reports.restarted("a").await;
    office.office.terminate_child("a").await.unwrap();
    let third = office.office.restart_child("a").await.unwrap().unwrap().get_id();
    office.reports.rest();
    office.office.terminate_child("a").await.unwrap();
    let fourth = office.office.restart_child("a").await.unwrap().unwrap().get_id();
    let starts: Vec<_> = office.reports.rest().into_iter().map(|report| report.happened).collect();
    let started = ChildEvent::Started { actor: fourth, restarts: 1, cause: None };
    assert!(starts.contains(&started), "{starts:?}");
    assert!([first, second, third, fourth].windows(2).all(|pair| pair[0] != pair[1]));

    a.order(Command::Fail("broken"));
    let seen = |report: &Report| match &report.happened {
        ChildEvent::Exited { .. } => Some("exited".to_owned()),
        ChildEvent::Restarting { cause, delay } => Some(format!("{cause}; {delay:?}")),
        ChildEvent::Started { .. } => Some("started".to_owned()),
        _ => None,
    };
    let mut found = Vec::new();
    for _ in 0..3 {
        found.push(office.reports.find("an exit and its consequences", seen).await);
    }
    let cause = "a exited: failed: broken; one-for-one, restart 2 of 3 within 3600s; 0ns";
    assert_eq!(found, ["exited", cause, "started"]);
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_start_in_a_restart_is_the_cause_of_the_next_try_and_the_delay_is_reported() {
    let (_, [a]) = puppets(["a"]);
    let backoff = Backoff::Constant(Duration::from_secs(20));
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(5)).backoff(backoff);
    let mut office = Office::open(spec.child(a.spec())).await;
    a.next(Moment::Starting, Behavior::Fail("no desk"));
    a.order(Command::Fail("broken"));
    let restarting = |report: &Report| match &report.happened {
        ChildEvent::Restarting { cause, delay } => Some((cause.trigger.to_string(), cause.used, delay.as_secs())),
        _ => None,
    };
    let first = office.reports.find("the first try", restarting).await;
    assert_eq!(first, ("a exited: failed: broken".to_owned(), 1, 20));
    let second = office.reports.find("the second try", restarting).await;
    assert_eq!(second, ("a did not start: no desk".to_owned(), 2, 20));
    let cause = cause(&mut office.reports, "a").await;
    assert_eq!(cause.trigger.reason, RestartReason::StartFailed("no desk".into()));
    office.close().await;
}

#[tokio::test]
async fn a_restart_that_the_rule_refuses_is_reported_with_the_rule() {
    let (_, [a, b]) = puppets(["a", "b"]);
    let (transient, temporary) = (a.spec().restart(Restart::Transient), b.spec().restart(Restart::Temporary));
    let mut office = Office::open(SupervisorSpec::new(Strategy::OneForOne).children([transient, temporary])).await;
    let refused = |report: &Report| match &report.happened {
        ChildEvent::NotRestarted { reason, rule } => Some((report.child.to_string(), reason.clone(), *rule)),
        _ => None,
    };
    a.order(Command::Stop(None));
    let found = office.reports.find("the refusal", refused).await;
    assert_eq!(found, ("a".to_owned(), ExitReason::Normal, Restart::Transient));
    b.latest().kill();
    let found = office.reports.find("the refusal", refused).await;
    assert_eq!(found, ("b".to_owned(), ExitReason::Killed, Restart::Temporary));
    office.close().await;
}

/// company (one-for-one, 1) over office (one-for-all, 1) over desk (rest-for-one, 1) over two clerks.
async fn company(a: &Puppet, b: &Puppet) -> (Supervisor, Reports) {
    let (reporter, reports) = reports();
    let once = |strategy| SupervisorSpec::new(strategy).intensity(at_most(1));
    let desk = ChildSpec::supervisor("desk", once(Strategy::RestForOne).children([a.spec(), b.spec()]));
    let office = ChildSpec::supervisor("office", once(Strategy::OneForAll).child(desk));
    let company = once(Strategy::OneForOne).child(office).reporter(reporter);
    (Supervisor::start("company", company).await.expect("it starts"), reports)
}

async fn kill_and_see(puppet: &Puppet, name: &str, reports: &mut Reports) {
    puppet.latest().kill();
    reports.restarted(name).await;
}

#[tokio::test]
async fn an_escalation_carries_its_whole_chain_to_the_top() {
    let (_, [a, b]) = puppets(["a", "b"]);
    let (company, mut reports) = company(&a, &b).await;
    // Each level survives one failure of the one below, and that one survives one of its own.
    for level in [1, 2] {
        for _ in 0..level {
            kill_and_see(&a, "a", &mut reports).await;
            b.order(Command::Fail("broken"));
            let below = gave_up(&mut reports, "company/office/desk").await;
            let failures: Vec<_> = below.triggers.iter().map(ToString::to_string).collect();
            assert_eq!(failures, ["a exited: killed", "b exited: failed: broken"]);
            assert_eq!((below.count, below.intensity, below.strategy), (2, at_most(1), Strategy::RestForOne));
            // The exit at the level above carries it.
            let escalation = reports.find("the exit of the desk", |report| match &report.happened {
                ChildEvent::Exited { reason, escalation, .. } if report.child.as_str() == "desk" => {
                    assert_eq!(*reason, shutdown());
                    escalation.clone()
                }
                _ => None,
            });
            assert_eq!(escalation.await, below);
            reports.started("b").await;
        }
    }
    // So far: the desk has given up three times, the office once. One more, and it is the end of the company.
    kill_and_see(&a, "a", &mut reports).await;
    b.order(Command::Fail("broken"));
    let top = gave_up(&mut reports, "company").await;
    assert_eq!(top.root_cause().unwrap().child.as_str(), "b");
    assert_eq!(
        top.to_string(),
        "more than 1 restart within 3600s: office exited: shutdown (2 times)\n\
         office gave up after more than 1 restart within 3600s: desk exited: shutdown (2 times)\n\
         desk gave up after more than 1 restart within 3600s: a exited: killed, then b exited: failed: broken"
    );
    company.wait_until_gone().await;
}

#[tokio::test]
async fn a_chain_is_written_as_json_from_the_top_down() {
    let (_, [a, b]) = puppets(["a", "b"]);
    let (company, mut reports) = company(&a, &b).await;
    kill_and_see(&a, "a", &mut reports).await;
    b.order(Command::Fail("broken"));
    let office = reports.find("the restart of the desk", |report| match &report.happened {
        ChildEvent::Restarting { cause, .. } if report.child.as_str() == "desk" => Some(Arc::clone(cause)),
        _ => None,
    });
    let json = serde_json::to_value(&*office.await).unwrap();
    assert_eq!(json["strategy"], "one-for-all");
    assert_eq!(json["intensity"], serde_json::json!({ "max_restarts": 1, "within_ms": 3_600_000 }));
    assert_eq!(json["trigger"]["child"], "desk");
    assert_eq!(json["trigger"]["reason"]["exited"], "shutdown");
    assert_eq!(json["trigger"]["escalation"]["triggers"][1]["reason"]["exited"], "failed: broken");
    company.shutdown().await;
}

/// A supervisor that is stopped, killed, or whose child stops failing in time escalates nothing.
#[tokio::test]
async fn a_supervisor_that_is_killed_or_stopped_carries_no_chain() {
    let (_, [a, b]) = puppets(["a", "b"]);
    let (company, mut reports) = company(&a, &b).await;
    kill_and_see(&a, "a", &mut reports).await;
    company.supervisor("office").await.unwrap().unwrap().actor().unwrap().kill();
    let escalation = reports.find("the exit of the office", |report| match &report.happened {
        ChildEvent::Exited { escalation, .. } if report.child.as_str() == "office" => Some(escalation.clone()),
        _ => None,
    });
    assert_eq!(escalation.await, None);
    company.shutdown().await;
}

struct Touchy;

impl Reporter for Touchy {
    fn report(&self, _: &Report) {
        panic!("I cannot stand this");
    }
}

#[tokio::test]
async fn a_reporter_that_panics_at_every_report_does_not_keep_a_supervisor_from_giving_up() {
    let (_, [a]) = puppets(["a"]);
    let inner = SupervisorSpec::new(Strategy::OneForOne).intensity(at_most(1)).child(a.spec()).reporter(Touchy);
    let mut office = Office::open(inner).await;
    a.latest().kill();
    a.lived(2).await;
    a.order(Command::Fail("broken"));
    let escalation = office.reports.find("the exit of the office", |report| match &report.happened {
        ChildEvent::Exited { escalation, .. } => Some(escalation.clone()),
        _ => None,
    });
    assert_eq!(escalation.await.expect("it gave up").count, 2);
    office.close().await;
}
