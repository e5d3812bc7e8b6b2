//! Tasks whose spawn, or whose outcome, is no longer awaited.

use std::future::pending;
use std::time::Duration;

use foundation::ChildSpec;
use foundation::supervision::{DynamicSupervisorSpec, TaskOptions, TaskSupervisor};

use super::fixture::{Fixture, LONG, comes_true, dropped_at_each_poll, works_again};

/// A linked task ends with its owner, whatever the owner was doing.
async fn no_task_runs(fixture: &Fixture) {
    assert!(comes_true(async || fixture.tasks.count_children().await.unwrap().specs == 0).await, "a task goes on");
}

// covers: TaskSupervisor::spawn, TaskSupervisor::spawn_with, TaskStop::requested
#[tokio::test(start_paused = true)]
async fn a_linked_task_whose_spawn_is_cancelled_does_not_continue_alone() {
    dropped_at_each_poll(
        async |fixture| fixture.tasks.spawn(pending::<()>()).await.map(drop),
        async |fixture, _| {
            no_task_runs(fixture).await;
            assert_eq!(fixture.tasks.spawn(async { 7 }).await.unwrap().await.unwrap(), 7);
        },
    )
    .await;
    dropped_at_each_poll(
        async |fixture| {
            let task = fixture.tasks.spawn_with(TaskOptions::default(), |stop| async move { stop.requested().await });
            task.await.unwrap().shutdown().await.unwrap();
        },
        async |fixture, _| {
            no_task_runs(fixture).await;
            assert_eq!(fixture.tasks.spawn(async { 7 }).await.unwrap().await.unwrap(), 7);
        },
    )
    .await;
}

// covers: TaskSupervisor::spawn_nolink, TaskSupervisor::start_child, TaskSupervisor::terminate_child
// covers: TaskSupervisor::children, TaskSupervisor::which_children, TaskSupervisor::count_children
#[tokio::test(start_paused = true)]
async fn requests_to_a_task_supervisor_may_be_cancelled() {
    works_again(async |fixture| fixture.tasks.spawn_nolink(async { 7 }).await.map(drop)).await;
    works_again(async |fixture| fixture.tasks.start_child(ChildSpec::task("alone", |_| async {})).await).await;
    works_again(async |fixture| fixture.tasks.children().await).await;
    works_again(async |fixture| fixture.tasks.which_children().await).await;
    works_again(async |fixture| fixture.tasks.count_children().await).await;
    dropped_at_each_poll(
        async |fixture| {
            let task = fixture.tasks.spawn_nolink(pending::<()>()).await.unwrap();
            fixture.tasks.terminate_child(task.id()).await.unwrap();
        },
        async |fixture, _| {
            for task in fixture.tasks.children().await.unwrap() {
                let _ = fixture.tasks.terminate_child(task).await;
            }
            no_task_runs(fixture).await;
        },
    )
    .await;
}

// covers: TaskSupervisor::start, TaskSupervisor::shutdown
#[tokio::test(start_paused = true)]
async fn the_start_and_the_shutdown_of_a_task_supervisor_may_be_cancelled() {
    dropped_at_each_poll(
        async |_| TaskSupervisor::start("alone", DynamicSupervisorSpec::default()).await.unwrap().shutdown().await,
        async |_, _| TaskSupervisor::start("alone", DynamicSupervisorSpec::default()).await.unwrap().shutdown().await,
    )
    .await;
}

// covers: Task::await_within, Task::yield_within, Task::shutdown
#[tokio::test(start_paused = true)]
async fn a_task_whose_outcome_is_no_longer_awaited_is_stopped() {
    dropped_at_each_poll(
        async |fixture| fixture.tasks.spawn(pending::<()>()).await.unwrap().await_within(Duration::from_secs(1)).await,
        async |fixture, _| no_task_runs(fixture).await,
    )
    .await;
    dropped_at_each_poll(
        async |fixture| fixture.tasks.spawn(pending::<()>()).await.unwrap().shutdown().await,
        async |fixture, _| no_task_runs(fixture).await,
    )
    .await;
    // An outcome that arrived during the wait is returned by the next call.
    dropped_at_each_poll(
        async |fixture| {
            let mut task = fixture.tasks.spawn(async { 7 }).await.unwrap();
            task.yield_within(LONG).await
        },
        async |fixture, _| no_task_runs(fixture).await,
    )
    .await;
}

// covers: TaskStream::next, TaskStream::shutdown
#[tokio::test(start_paused = true)]
async fn a_cancelled_stream_leaves_no_task_behind() {
    dropped_at_each_poll(
        async |fixture| {
            let mut stream = fixture.tasks.stream(0..5u32, |number| async move { number });
            let first = stream.next().await;
            stream.shutdown().await;
            first
        },
        async |fixture, _| no_task_runs(fixture).await,
    )
    .await;
}
