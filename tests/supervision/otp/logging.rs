//! 1.11: what an operator reads at the level `INFO`: starts, restarts, stops, and kills.

use std::sync::Arc;
use std::time::Duration;

use foundation::supervision::{
    AutoShutdown, Backoff, ChildEvent, ExitReason, Report, Reporter, Stopped, SupervisorSpec, TaskSupervisor,
    TracingReporter,
};
use foundation::{ChildSpec, Restart, Strategy, Supervisor};
use foundation_testkit::{TraceLog, subscribe};
use tracing::Level;
use tracing_subscriber::layer::SubscriberExt;

use super::{Office, puppets};

/// The levels of a report of a child, and of one that was started on demand.
fn levels(happened: ChildEvent) -> (Level, Level) {
    let report = Report::new("top/office", "clerk", happened);
    let level = |log: Vec<(Level, String)>| match &log[..] {
        [(level, text)] => {
            assert!(text.contains("supervisor=top/office child=clerk"), "{text}");
            *level
        }
        other => panic!("one line and not {other:?}"),
    };
    (
        level(TraceLog::during(|| TracingReporter.report(&report))),
        level(TraceLog::during(|| TracingReporter.report_on_demand(&report))),
    )
}

#[tokio::test]
async fn otp_92_info_reports_starts_restarts_stops_and_kills() {
    let (_, [clerk]) = puppets(["clerk"]);
    let office = Office::of(Strategy::OneForOne, 2, &[&clerk]).await;
    let actor = clerk.id();
    let routine = (Level::INFO, Level::DEBUG);
    let (warning, detail) = ((Level::WARN, Level::WARN), (Level::DEBUG, Level::DEBUG));
    let (failed, normal) = (ExitReason::Failed("out of ink".into()), ExitReason::Normal);
    for (happened, wanted) in [
        (ChildEvent::Started { actor, restarts: 0, cause: None }, routine),
        (ChildEvent::Exited { actor, reason: normal.clone(), escalation: None }, routine),
        (ChildEvent::Stopped { actor, how: Stopped::InTime }, routine),
        (ChildEvent::Stopped { actor, how: Stopped::Brutally }, routine),
        (ChildEvent::Stopped { actor, how: Stopped::Killed }, warning),
        (ChildEvent::Exited { actor, reason: failed, escalation: None }, warning),
        (ChildEvent::StartFailed { cause: "no desk".into() }, warning),
        (ChildEvent::AutoShutdown { mode: AutoShutdown::AllSignificant }, (Level::INFO, Level::INFO)),
        (ChildEvent::Ignored, detail),
        (ChildEvent::NotRestarted { reason: normal, rule: Restart::Transient }, detail),
    ] {
        assert_eq!(levels(happened.clone()), wanted, "{happened}");
    }
    office.close().await;
}

#[tokio::test]
async fn otp_92_a_supervisor_logs_the_lives_of_its_children_and_not_those_of_thousands_of_tasks() {
    let log = TraceLog::default();
    let _guard = subscribe(log.clone());
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .child(ChildSpec::task("clerk", |_stop| std::future::pending::<()>()))
        .child(ChildSpec::task_supervisor("tasks", Default::default()));
    let office = Supervisor::start("office", spec).await.unwrap();
    let info = |log: &TraceLog| {
        let lines = log.take().into_iter().filter(|(level, _)| *level <= Level::INFO);
        lines.map(|(_, text)| text.split(" actor=").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let expected = ["child started supervisor=office child=clerk", "child started supervisor=office child=tasks"];
    assert_eq!(info(&log), expected);

    let tasks: TaskSupervisor = office.task_supervisor("tasks").await.unwrap().unwrap();
    for number in 0..100 {
        assert_eq!(tasks.spawn(async move { number }).await.unwrap().await.unwrap(), number);
    }
    assert_eq!(info(&log), Vec::<String>::new());
    office.shutdown().await;
    let stopped = info(&log);
    assert!(stopped.contains(&"child stopped supervisor=office child=clerk".to_owned()), "{stopped:?}");
}

#[tokio::test(start_paused = true)]
async fn otp_92_a_restart_and_the_wait_before_it_are_logged_with_their_cause() {
    let log = TraceLog::default();
    let _guard = subscribe(log.clone());
    let begun = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let (again, mut started) = tokio::sync::mpsc::unbounded_channel();
    let clerk = ChildSpec::task("clerk", move |_stop| {
        let first = begun.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        let again = again.clone();
        async move {
            assert!(!first, "out of ink");
            again.send(()).unwrap();
            std::future::pending::<()>().await;
        }
    });
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .child(clerk.restart(Restart::Permanent).backoff(Backoff::Constant(Duration::from_secs(3))));
    let office = Supervisor::start("office", spec).await.unwrap();
    started.recv().await.unwrap();
    office.shutdown().await;
    let lines = log.take();
    let logged = |level, part: &str, cause: &str| {
        lines.iter().any(|(found, text)| *found == level && text.starts_with(part) && text.contains(cause))
    };
    assert!(logged(Level::WARN, "child exited", "out of ink"), "{lines:?}");
    assert!(logged(Level::INFO, "child is going to be restarted", "delay=3s"), "{lines:?}");
    assert!(logged(Level::INFO, "child restarted", "out of ink"), "{lines:?}");
}

#[tokio::test]
async fn a_supervisor_that_gives_up_is_an_error_and_a_name_that_is_taken_a_warning() {
    let log = TraceLog::default();
    let _guard = subscribe(log.clone());
    let (_, [clerk]) = puppets(["clerk"]);
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(super::at_most(0)).child(clerk.spec());
    let office = Supervisor::start("office", spec).await.unwrap();
    clerk.latest().kill();
    office.wait_until_gone().await;
    let errors: Vec<_> = log.take().into_iter().filter(|(level, _)| *level == Level::ERROR).collect();
    let [(_, text)] = &errors[..] else { panic!("one error and not {errors:?}") };
    assert!(text.starts_with("supervisor gives up: too many restarts supervisor=office child=clerk"), "{text}");

    let taken =
        ChildEvent::NameTaken { cause: "another has it".into(), rule: foundation::supervision::NameTaken::Wait };
    assert_eq!(levels(taken), (Level::WARN, Level::WARN));
}

/// On each thread of a runtime of its own, since the supervisor logs it.
#[test]
fn an_actor_that_outlives_its_supervisor_and_a_caught_panic_are_logged_as_warnings() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("its destructor panics");
        }
    }
    let contained = TraceLog::during(|| foundation::containment::drop_contained("a parcel", Panics));
    let [(Level::WARN, text)] = &contained[..] else { panic!("{contained:?}") };
    assert_eq!(text, "the destructor of a parcel panicked panic=its destructor panics");

    let log = TraceLog::default();
    let of_threads = log.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(3)
        .enable_all()
        .on_thread_start(move || {
            let subscriber = tracing_subscriber::registry().with(of_threads.clone());
            std::mem::forget(tracing::subscriber::set_default(subscriber));
        })
        .build()
        .unwrap();
    let (ends, [deaf]) = puppets(["deaf"]);
    let scene = async move {
        let limits = foundation::supervision::SupervisorLimits::new().subtree_end(Duration::from_millis(20));
        let inner = SupervisorSpec::new(Strategy::OneForOne).child(deaf.spec());
        let spec = SupervisorSpec::new(Strategy::OneForOne).limits(limits);
        let office = Supervisor::start("office", spec.child(ChildSpec::supervisor("inner", inner))).await.unwrap();
        let (release, released) = std::sync::mpsc::channel();
        deaf.order(foundation_testkit::Command::Block(released));
        ends.reached("deaf", foundation_testkit::Moment::Blocked, 1).await;
        office.supervisor("inner").await.unwrap().unwrap().actor().unwrap().kill();
        ends.reached("deaf", foundation_testkit::Moment::Up, 2).await;
        drop(release);
        office.shutdown().await;
    };
    runtime.block_on(runtime.spawn(scene)).unwrap();
    let warnings: Vec<_> = log.take().into_iter().filter(|(level, _)| *level == Level::WARN).collect();
    assert!(warnings.iter().any(|(_, text)| text.starts_with("an actor outlives the supervisor")), "{warnings:?}");
}
