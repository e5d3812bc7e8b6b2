//! Tasks that are not awaited.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foundation::supervision::{
    Backoff, ChildError, DynamicSupervisorSpec, ExitReason, RestartIntensity, Shutdown, SupervisorSpec, TaskStop,
    TaskSupervisor,
};
use foundation::{ChildSpec, Restart, Strategy, Supervisor};
use foundation_testkit::{Gate, reports, soon, until};
use tokio::time::Instant;

use super::{Crew, known, limited, open};

#[tokio::test]
async fn task_8_tasks_are_counted_while_they_run() {
    let (tasks, gate) = (open().await, Gate::new());
    for number in 1..=3 {
        let gate = gate.clone();
        let spec = ChildSpec::task("wait", move |_| {
            let gate = gate.clone();
            async move { gate.pass().await }
        });
        tasks.start_child(spec).await.unwrap().unwrap();
        let count = tasks.count_children().await.unwrap();
        assert_eq!((count.specs, count.active, count.workers, count.supervisors), (number, number, number, 0));
    }
    gate.open();
    known(&tasks, 0).await;
    tasks.shutdown().await;
}

/// The number of its runs when it has come to rest, and how they ended.
async fn runs(restart: Restart, end: fn(usize) -> Result<(), &'static str>) -> (usize, Vec<ExitReason>) {
    let (reporter, mut reports) = reports();
    let intensity = RestartIntensity::new(1, Duration::from_secs(3600));
    let spec = DynamicSupervisorSpec::default().reporter(reporter).intensity(intensity);
    let tasks = TaskSupervisor::start("tasks", spec).await.unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let run = Arc::clone(&runs);
    let work = move |_| {
        let number = run.fetch_add(1, Ordering::Relaxed);
        async move { end(number) }
    };
    tasks.start_child(ChildSpec::task("run", work).restart(restart)).await.unwrap();
    // Its second end is the last in any case: the intensity allows one restart.
    let mut ends = vec![reports.exited("run").await];
    if restart == Restart::Permanent || restart == Restart::Transient && ends[0].is_abnormal() {
        ends.push(reports.exited("run").await);
    }
    until("its rest", async || !tasks.count_children().await.is_ok_and(|count| count.specs > 0)).await;
    tasks.shutdown().await;
    (runs.load(Ordering::Relaxed), ends)
}

fn failed(text: &str) -> ExitReason {
    ExitReason::Failed(text.into())
}

#[tokio::test]
async fn task_8_a_child_is_temporary_by_default() {
    assert_eq!(ChildSpec::task("run", |_| async {}).restart_rule(), Restart::Temporary);
    assert_eq!(runs(Restart::Temporary, |_| Err("broken")).await, (1, vec![failed("broken")]));
}

#[tokio::test]
async fn task_8_a_transient_child_runs_again_after_an_error_or_a_panic_only() {
    assert_eq!(runs(Restart::Transient, |_| Ok(())).await, (1, vec![ExitReason::Normal]));
    let first_fails = |run| if run == 0 { Err("not yet") } else { Ok(()) };
    assert_eq!(runs(Restart::Transient, first_fails).await, (2, vec![failed("not yet"), ExitReason::Normal]));
    let first_panics = |run| if run == 0 { panic!("oh") } else { Ok(()) };
    let ends = vec![failed("the task panicked: oh"), ExitReason::Normal];
    assert_eq!(runs(Restart::Transient, first_panics).await, (2, ends));
}

#[tokio::test]
async fn task_8_a_permanent_child_runs_again_after_every_end_until_the_intensity_is_exceeded() {
    assert_eq!(runs(Restart::Permanent, |_| Ok(())).await, (2, vec![ExitReason::Normal, ExitReason::Normal]));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_cannot_begin_is_a_failed_start_and_is_tried_again_after_the_backoff() {
    let (reporter, mut reports) = reports();
    let spec = DynamicSupervisorSpec::default().reporter(reporter).intensity(RestartIntensity::UNLIMITED);
    let tasks = TaskSupervisor::start("tasks", spec).await.unwrap();
    let (begun, worked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (begin, work) = (Arc::clone(&begun), Arc::clone(&worked));
    let spec = move || {
        let (begin, work) = (Arc::clone(&begin), Arc::clone(&work));
        let begin = move || {
            let number = begin.fetch_add(1, Ordering::Relaxed);
            async move { if matches!(number, 1 | 3) { Ok(number) } else { Err("the database is away") } }
        };
        let work = move |number, _stop| {
            work.store(number, Ordering::Relaxed);
            async move { if number == 1 { Err("lost the database") } else { pending().await } }
        };
        let second = Duration::from_secs(1);
        ChildSpec::task_after("import", begin, work).restart(Restart::Transient).backoff(Backoff::Constant(second))
    };
    let error = tasks.start_child(spec()).await.unwrap_err();
    assert!(matches!(error, ChildError::Start { .. }) && error.to_string().contains("is away"), "{error}");
    let started = Instant::now();
    tasks.start_child(spec()).await.unwrap();
    assert_eq!(reports.exited("import").await, failed("lost the database"));
    reports.restarted("import").await;
    assert_eq!((begun.load(Ordering::Relaxed), started.elapsed().as_secs()), (4, 2), "one failed start between them");
    until("its work", async || worked.load(Ordering::Relaxed) == 3).await;
    tasks.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn task_8_a_child_is_stopped_by_its_own_rule() {
    let second = Duration::from_secs(1);
    for (rule, took) in [(Shutdown::BrutalKill, 0), (Shutdown::Timeout(second), 1), (Shutdown::Infinity, 3)] {
        let (tasks, crew) = (open().await, Crew::new());
        let there = crew.clone();
        let work = move |stop: TaskStop| {
            let member = there.join();
            async move {
                let _member = member;
                stop.requested().await;
                let _ = tokio::time::timeout(3 * second, pending::<()>()).await;
            }
        };
        tasks.start_child(ChildSpec::task("slow", work).shutdown(rule)).await.unwrap();
        crew.is(1).await;
        let begun = Instant::now();
        tasks.shutdown().await;
        assert_eq!((begun.elapsed(), crew.now()), (took * second, 0), "{rule:?}");
    }
}

#[tokio::test]
async fn task_8_a_child_beyond_the_limit_is_refused() {
    let tasks = limited(1).await;
    let wait = || ChildSpec::task("wait", |_| pending::<()>());
    tasks.start_child(wait()).await.unwrap();
    let error = tasks.start_child(wait()).await.unwrap_err();
    assert!(matches!(error, ChildError::TooManyChildren { max_children: 1 }), "{error}");
    tasks.shutdown().await;
}

/// It needs no task supervisor: any supervisor can have a task among its children.
#[tokio::test]
async fn task_8_a_task_can_be_the_child_of_a_fixed_supervisor() {
    let (reporter, mut reports) = reports();
    let crew = Crew::new();
    let there = crew.clone();
    let work = move |_| {
        let (member, first) = (there.join(), there.ever() == 1);
        async move {
            let _member = member;
            if first {
                panic!("the first one fails");
            }
            pending::<()>().await;
        }
    };
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .reporter(reporter)
        .child(ChildSpec::task("poll", work).restart(Restart::Permanent));
    let top = Supervisor::start("top", spec).await.unwrap();
    reports.restarted("poll").await;
    crew.is(1).await;
    soon("the shutdown", top.shutdown()).await;
    assert_eq!((crew.now(), crew.ever(), crew.most()), (0, 2, 1));
}
