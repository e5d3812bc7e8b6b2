//! An owner's operations on a task: await it, with a limit, poll it, shut it down.

use std::future::pending;
use std::time::Duration;

use foundation::supervision::{ChildError, Shutdown, TaskError, TaskOptions};
use foundation_testkit::{Gate, soon};
use tokio::time::Instant;

use super::{Crew, known, open};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn task_8_an_await_that_takes_too_long_shuts_the_task_down_linked_or_not() {
    for options in [TaskOptions::default(), TaskOptions::default().nolink()] {
        let (tasks, crew) = (open().await, Crew::new());
        let member = crew.join();
        let task = tasks.spawn_with(options, |_| async move {
            let _member = member;
            pending::<()>().await;
        });
        let begun = Instant::now();
        let error = task.await.unwrap().await_within(SECOND).await.unwrap_err();
        assert!(matches!(error, TaskError::TimedOut(limit) if limit == SECOND), "{error}");
        assert_eq!((begun.elapsed(), crew.now()), (SECOND, 0));
        assert_eq!(tasks.count_children().await.unwrap().specs, 0);
        tasks.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn task_8_an_await_within_the_time_gives_the_value() {
    let tasks = open().await;
    let task = tasks.spawn(async { tokio::time::timeout(SECOND, pending::<()>()).await.is_err() }).await.unwrap();
    assert!(task.await_within(2 * SECOND).await.unwrap());
    tasks.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn task_8_polling_a_task_leaves_it_running() {
    let (tasks, gate) = (open().await, Gate::new());
    let passed = gate.clone();
    let task = tasks.spawn(async move {
        passed.pass().await;
        7
    });
    let mut task = task.await.unwrap();
    assert!(task.yield_within(SECOND).await.is_none());
    assert_eq!(tasks.children().await.unwrap(), [task.id()]);
    gate.open();
    assert_eq!(task.yield_within(SECOND).await.unwrap().unwrap(), 7);
    // There is one outcome, and it has been returned.
    let error = task.yield_within(SECOND).await.unwrap().unwrap_err();
    assert!(matches!(error, TaskError::AlreadyTaken), "{error}");
    assert!(matches!(task.shutdown().await.unwrap_err(), TaskError::AlreadyTaken));
    tasks.shutdown().await;
}

#[tokio::test]
async fn task_8_each_way_to_end_without_a_value_has_its_error() {
    let tasks = open().await;
    let shut_down = tasks.spawn(pending::<()>()).await.unwrap();
    let killed = tasks.spawn_with(TaskOptions::default().shutdown(Shutdown::BrutalKill), |_| pending::<()>());
    let killed = killed.await.unwrap();
    let panicked = tasks.spawn(async { panic!("thrown") }).await.unwrap();
    tasks.terminate_child(shut_down.id()).await.unwrap();
    tasks.terminate_child(killed.id()).await.unwrap();
    assert!(matches!(soon("an end", shut_down).await.unwrap_err(), TaskError::Shutdown));
    assert!(matches!(soon("an end", killed).await.unwrap_err(), TaskError::Killed));
    let error: TaskError = soon("an end", panicked).await.unwrap_err();
    assert!(matches!(error, TaskError::Panicked(_)));
    tasks.shutdown().await;
}

#[tokio::test]
async fn task_8_an_outcome_outlives_the_supervisor() {
    let tasks = open().await;
    let done = tasks.spawn(async { "in time" }).await.unwrap();
    let cut_off = tasks.spawn(pending::<()>()).await.unwrap();
    known(&tasks, 1).await;
    tasks.shutdown().await;
    assert_eq!(done.await.unwrap(), "in time");
    assert!(matches!(cut_off.await.unwrap_err(), TaskError::Shutdown));
    let error = tasks.spawn(async {}).await.unwrap_err();
    assert!(matches!(error, ChildError::NotRunning { .. }), "{error}");
}

#[tokio::test]
async fn task_8_a_shutdown_gives_the_value_of_a_task_that_has_one() {
    let tasks = open().await;
    let done = tasks.spawn(async { 1 }).await.unwrap();
    known(&tasks, 0).await;
    assert_eq!(done.shutdown().await.unwrap(), 1);
    let on_the_way_out = tasks.spawn_with(TaskOptions::default(), |stop| async move {
        stop.requested().await;
        2
    });
    assert_eq!(on_the_way_out.await.unwrap().shutdown().await.unwrap(), 2);
    let never = tasks.spawn(pending::<()>()).await.unwrap();
    assert!(matches!(never.shutdown().await.unwrap_err(), TaskError::Shutdown));
    assert_eq!(tasks.count_children().await.unwrap().specs, 0);
    tasks.shutdown().await;
}
