//! 1.11: the text of a report (92–93). OTP formats terms by depth; here a report is a value, and its text is one line.

use foundation::supervision::{AutoShutdown, ChildEvent, ExitReason, Report, Stopped, SupervisorSpec};
use foundation::{Restart, Strategy};
use foundation_testkit::Command;

use super::{Office, puppets};

fn report(happened: ChildEvent) -> Report {
    Report::new("top/office", "clerk", happened)
}

#[tokio::test]
async fn otp_92_each_report_reads_as_a_sentence() {
    let (_, [clerk]) = puppets(["clerk"]);
    let office = Office::of(Strategy::OneForOne, 2, &[&clerk]).await;
    let actor = clerk.id();
    let failed = ExitReason::Failed("out of ink".into());
    for (happened, wanted) in [
        (ChildEvent::Started { actor, restarts: 0, cause: None }, format!("started, as actor {actor}")),
        (
            ChildEvent::Started { actor, restarts: 2, cause: None },
            format!("started again, as actor {actor}, restart 2"),
        ),
        (ChildEvent::Ignored, "is not wanted now".to_owned()),
        (ChildEvent::StartFailed { cause: "no desk".into() }, "did not start: no desk".to_owned()),
        (
            ChildEvent::Exited { actor, reason: failed, escalation: None },
            format!("exited, as actor {actor}: failed: out of ink"),
        ),
        (
            ChildEvent::NotRestarted { reason: ExitReason::Normal, rule: Restart::Transient },
            "is not restarted after normal, as it is transient".to_owned(),
        ),
        (ChildEvent::Stopped { actor, how: Stopped::InTime }, format!("was stopped, as actor {actor}")),
        (
            ChildEvent::Stopped { actor, how: Stopped::Brutally },
            format!("was killed, as its rule says, as actor {actor}"),
        ),
        (
            ChildEvent::Stopped { actor, how: Stopped::Killed },
            format!("did not stop in time and was killed, as actor {actor}"),
        ),
        (
            ChildEvent::AutoShutdown { mode: AutoShutdown::AllSignificant },
            "was significant and has ended: the supervisor stops (all significant)".to_owned(),
        ),
    ] {
        assert_eq!(happened.to_string(), wanted);
        assert_eq!(report(happened).to_string(), format!("top/office: child clerk {wanted}"));
    }
    office.close().await;
}

/// A cause is part of the line, with all levels below it.
#[tokio::test]
async fn otp_92_a_decision_is_worded_with_its_cause() {
    let (_, [clerk]) = puppets(["clerk"]);
    let mut office = Office::of(Strategy::OneForOne, 1, &[&clerk]).await;
    office.reports.rest();
    clerk.latest().kill();
    office.reports.restarted("clerk").await;
    clerk.order(Command::Fail("out of\nink"));
    let mut lines = Vec::new();
    let decided = |report: &Report| match report.happened {
        ChildEvent::Restarting { .. } | ChildEvent::GaveUp { .. } => Some(report.to_string()),
        ChildEvent::Exited { .. } if report.child.as_str() == "office" => {
            // The actor's id is irrelevant here.
            Some(report.to_string().replace(|c: char| c.is_ascii_digit() || c == '.', ""))
        }
        _ => None,
    };
    for _ in 0..2 {
        lines.push(office.reports.find("a decision", decided).await);
    }
    let many = "more than 1 restart within 3600s: clerk exited: killed, then clerk exited: failed: out of\\nink";
    assert_eq!(
        lines[0],
        format!("top/office: child clerk failed once too often: the supervisor gives up after {many}")
    );
    let many = many.replace(|c: char| c.is_ascii_digit(), "");
    assert_eq!(lines[1], format!("top: child office exited, as actor : shutdown, after {many}"));
    office.close().await;
}

/// A report is one line, whatever reason the child gives for its end.
#[tokio::test]
async fn otp_92_a_report_is_one_line() {
    let (_, [clerk]) = puppets(["clerk"]);
    let mut office = Office::open(SupervisorSpec::new(Strategy::OneForOne).child(clerk.spec())).await;
    clerk.order(Command::Fail("first\nsecond\r\n\u{1b}[31mred\u{2028}third\tä"));
    let text = office.reports.find("the exit", |report| match report.happened {
        ChildEvent::Exited { .. } => Some(report.to_string()),
        _ => None,
    });
    let text = text.await;
    assert!(!text.chars().any(char::is_control) && !text.contains('\u{2028}'), "{text:?}");
    assert!(text.ends_with(r"failed: first\nsecond\r\n\u{1b}[31mred\u{2028}third\tä"), "{text}");
    office.close().await;
}

#[test]
fn otp_93_a_report_is_no_longer_than_wanted() {
    let long = report(ChildEvent::StartFailed { cause: "ä".repeat(10_000) });
    let whole = long.to_string();
    assert_eq!(whole.chars().count(), "top/office: child clerk did not start: ".len() + 10_000);
    for limit in [0, 1, 2, 24, 25, 80, 5_000] {
        let text = format!("{long:.limit$}");
        assert_eq!(text.chars().count(), limit, "{text}");
        assert!(limit == 0 || text.ends_with('…'), "{text}");
        let kept: String = text.chars().take(limit.saturating_sub(1)).collect();
        assert!(whole.starts_with(&kept));
    }
    // A text that fits is not cut.
    let length = whole.chars().count();
    for limit in [length, length + 1, usize::from(u16::MAX)] {
        assert_eq!(format!("{long:.limit$}"), whole);
    }
    // A line break is two characters of the line.
    let broken = ChildEvent::StartFailed { cause: "a\nb".into() };
    assert_eq!(format!("{broken:.17}"), "did not start: a…");
    assert_eq!(format!("{broken:.19}"), r"did not start: a\nb");
}
