//! 1.5: what happens after a child has ended, by restart type and reason.

use foundation::supervision::{ChildEvent, ExitReason, StartError, SupervisorSpec};
use foundation::{ChildSpec, Restart, Strategy, Supervisor};
use foundation_testkit::{Behavior, Command, Log, Moment, Puppet};

use super::{End, Office, STRATEGIES, at_rest, counts, shutdown, states};

/// The ways to end that OTP calls abnormal.
const ABNORMAL: [End; 3] = [
    |child| child.order(Command::Fail("broken")),
    |child| child.order(Command::Panic("cracked")),
    |child| child.latest().kill(),
];

async fn with(restart: Restart) -> (Puppet, Office) {
    let child = Puppet::new("child", &Log::new());
    let spec =
        SupervisorSpec::new(Strategy::OneForOne).intensity(super::at_most(3)).child(child.spec().restart(restart));
    (child, Office::open(spec).await)
}

/// The child ends like this, for this reason, and is replaced.
async fn restarts(child: &Puppet, office: &mut Office, end: impl FnOnce(&Puppet), reason: ExitReason) {
    let before = child.id();
    end(child);
    assert_eq!(office.reports.exited("child").await, reason);
    let after = office.reports.restarted("child").await;
    assert_ne!(before, after);
    assert_eq!(office.office.child("child").await.unwrap().map(|actor| actor.get_id()), Some(after));
    assert_eq!(counts(&office.office).await, [1, 1, 0, 1]);
}

/// The child ends like this, for this reason, and is not replaced: its specification is kept, or is not.
async fn stays_down(child: &Puppet, office: &mut Office, end: impl FnOnce(&Puppet), reason: ExitReason, kept: bool) {
    let before = child.id();
    end(child);
    assert_eq!(office.reports.exited("child").await, reason);
    let left = states(&at_rest(&office.office).await);
    assert_eq!(left, if kept { vec!["child stopped"] } else { vec![] });
    assert_eq!(counts(&office.office).await, if kept { [1, 0, 0, 1] } else { [0, 0, 0, 0] });
    assert_eq!(child.id(), before);
    assert_eq!(child.alive(), 0);
}

fn failed(text: &str) -> ExitReason {
    ExitReason::Failed(text.into())
}

fn abnormal() -> [(End, ExitReason); 3] {
    let [fail, panic, kill] = ABNORMAL;
    [(fail, failed("broken")), (panic, failed("cracked")), (kill, ExitReason::Killed)]
}

/// OTP logs progress; here that is the report of a start.
#[tokio::test]
async fn otp_29_a_child_that_is_added_is_reported_once() {
    let mut office = Office::of(Strategy::OneForOne, 2, &[]).await;
    office.reports.rest();
    let child = Puppet::new("child", &Log::new());
    let actor = office.office.start_child(child.spec()).await.unwrap().unwrap().get_id();
    let reports: Vec<_> = office.reports.rest().into_iter().map(|report| report.happened).collect();
    assert_eq!(reports, [ChildEvent::Started { actor, restarts: 0, cause: None }]);
    office.close().await;
}

#[tokio::test]
async fn otp_30_a_permanent_child_is_restarted_after_a_normal_end() {
    let (child, mut office) = with(Restart::Permanent).await;
    restarts(&child, &mut office, |child| child.order(Command::Stop(None)), ExitReason::Normal).await;
    office.close().await;
}

#[tokio::test]
async fn otp_31_a_transient_child_is_not_restarted_after_a_normal_end_and_keeps_its_place() {
    let (child, mut office) = with(Restart::Transient).await;
    stays_down(&child, &mut office, |child| child.order(Command::Stop(None)), ExitReason::Normal, true).await;
    assert!(office.office.restart_child("child").await.unwrap().is_some());
    stays_down(&child, &mut office, |child| child.latest().drain().unwrap(), ExitReason::Normal, true).await;
    office.close().await;
}

#[tokio::test]
async fn otp_32_a_temporary_child_is_removed_after_a_normal_end() {
    let (child, mut office) = with(Restart::Temporary).await;
    stays_down(&child, &mut office, |child| child.order(Command::Stop(None)), ExitReason::Normal, false).await;
    office.close().await;
}

#[tokio::test]
async fn otp_33_a_permanent_child_is_restarted_after_a_shutdown_with_or_without_a_text() {
    let (child, mut office) = with(Restart::Permanent).await;
    restarts(&child, &mut office, |child| child.order(Command::Stop(Some("shutdown"))), shutdown()).await;
    let tidy = ExitReason::Shutdown("tidied up".into());
    restarts(&child, &mut office, |child| child.order(Command::Stop(Some("tidied up"))), tidy).await;
    office.close().await;
}

#[tokio::test]
async fn otp_34_a_transient_child_is_not_restarted_after_a_shutdown_with_or_without_a_text() {
    let (child, mut office) = with(Restart::Transient).await;
    stays_down(&child, &mut office, |child| child.order(Command::Stop(Some("shutdown"))), shutdown(), true).await;
    assert!(office.office.restart_child("child").await.unwrap().is_some());
    let tidy = ExitReason::Shutdown("tidied up".into());
    stays_down(&child, &mut office, |child| child.order(Command::Stop(Some("tidied up"))), tidy, true).await;
    office.close().await;
}

#[tokio::test]
async fn otp_35_a_temporary_child_is_removed_after_a_shutdown_and_its_id_is_free() {
    let (child, mut office) = with(Restart::Temporary).await;
    stays_down(&child, &mut office, |child| child.order(Command::Stop(Some("shutdown"))), shutdown(), false).await;
    let again = office.office.start_child(child.spec().restart(Restart::Temporary)).await.unwrap().unwrap();
    assert_eq!(again.get_id(), child.id());
    let tidy = ExitReason::Shutdown("tidied up".into());
    stays_down(&child, &mut office, |child| child.order(Command::Stop(Some("tidied up"))), tidy, false).await;
    office.close().await;
}

#[tokio::test]
async fn otp_36_the_cause_of_a_child_that_does_not_start_is_reported_at_the_top() {
    let log = Log::new();
    let faulty = Puppet::new("faulty", &log);
    faulty.always(Moment::Starting, Behavior::Fail("no such function"));
    let inner = SupervisorSpec::new(Strategy::OneForOne).child(faulty.spec());
    let middle = SupervisorSpec::new(Strategy::OneForOne).child(ChildSpec::supervisor("inner", inner));
    let outer = SupervisorSpec::new(Strategy::OneForOne).child(ChildSpec::supervisor("middle", middle));
    let error = Supervisor::start("application", outer).await.unwrap_err();
    let StartError::Child { id, error: source } = &error else { panic!("{error}") };
    assert_eq!(id.as_str(), "middle");
    assert!(matches!(&**source, StartError::Child { id, .. } if id.as_str() == "inner"), "{source:?}");
    assert!(matches!(error.root_cause(), StartError::Failed(cause) if cause.to_string() == "no such function"));
    let text = "child middle did not start: child inner did not start: child faulty did not start: no such function";
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn otp_37_a_permanent_child_is_restarted_after_an_abnormal_end() {
    let (child, mut office) = with(Restart::Permanent).await;
    for (end, reason) in abnormal() {
        restarts(&child, &mut office, end, reason).await;
    }
    office.close().await;
}

#[tokio::test]
async fn otp_38_a_transient_child_is_restarted_after_an_abnormal_end() {
    let (child, mut office) = with(Restart::Transient).await;
    for (end, reason) in abnormal() {
        restarts(&child, &mut office, end, reason).await;
    }
    office.close().await;
}

#[tokio::test]
async fn otp_39_a_temporary_child_is_removed_after_an_abnormal_end() {
    for (end, reason) in abnormal() {
        let (child, mut office) = with(Restart::Temporary).await;
        stays_down(&child, &mut office, end, reason, false).await;
        office.close().await;
    }
}

#[tokio::test]
async fn otp_40_a_temporary_child_that_is_stopped_for_a_sibling_is_not_restarted() {
    for strategy in STRATEGIES.into_iter().skip(1) {
        let log = Log::new();
        let (child, bystander) = (Puppet::new("child", &log), Puppet::new("bystander", &log));
        let children = [child.spec(), bystander.spec().restart(Restart::Temporary)];
        let mut office = Office::open(SupervisorSpec::new(strategy).children(children)).await;
        child.order(Command::Stop(None));
        office.reports.restarted("child").await;
        assert_eq!(states(&at_rest(&office.office).await), ["child running"]);
        assert_eq!(log.of(&[Moment::Up, Moment::Down])[2..], ["child down", "bystander down", "child up"]);
        assert_eq!(bystander.alive(), 0);
        office.close().await;
    }
}
