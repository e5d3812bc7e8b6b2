//! Futures and values of tasks whose destructors panic: the panics affect neither the supervisor nor another task.

use std::future::pending;
use std::time::Duration;

use foundation::supervision::{ExitReason, Shutdown, TaskError, TaskOptions};
use foundation::{ChildSpec, Restart};
use foundation_testkit::{reports, soon};

use super::{DynamicSupervisorSpec, TaskSupervisor};

struct Explosive;

impl Drop for Explosive {
    fn drop(&mut self) {
        panic!("the destructor of a task's value");
    }
}

async fn tasks() -> TaskSupervisor {
    TaskSupervisor::start("tasks", DynamicSupervisorSpec::default()).await.unwrap()
}

async fn ends_unharmed(tasks: TaskSupervisor) {
    let task = soon("the start of another task", tasks.spawn(async { 7 })).await.unwrap();
    assert_eq!(soon("the value of another task", task).await.unwrap(), 7);
    soon("the end", tasks.shutdown()).await;
}

#[tokio::test]
async fn contained_a_task_that_panics_when_it_is_dropped_has_been_shut_down_or_killed() {
    let tasks = tasks().await;
    let hanging = async {
        let _explosive = Explosive;
        pending::<()>().await;
    };
    let task = tasks.spawn(hanging).await.unwrap();
    tokio::task::yield_now().await;
    assert!(matches!(soon("the shutdown", task.shutdown()).await, Err(TaskError::Shutdown)));
    let options = TaskOptions::new("killed").shutdown(Shutdown::BrutalKill);
    let killed = tasks.spawn_with(options, |stop| async move {
        let (_stop, _explosive) = (stop, Explosive);
        pending::<()>().await;
    });
    let killed = killed.await.unwrap();
    tokio::task::yield_now().await;
    assert!(matches!(soon("the kill", killed.shutdown()).await, Err(TaskError::Killed)));
    ends_unharmed(tasks).await;
}

#[tokio::test]
async fn contained_a_value_that_is_not_awaited_may_panic_when_it_is_dropped() {
    let (reporter, mut seen) = reports();
    let spec = DynamicSupervisorSpec::default().reporter(reporter);
    let tasks = TaskSupervisor::start("tasks", spec).await.unwrap();
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let task = tasks.spawn_nolink(async move {
        let _ = gone.await;
        Explosive
    });
    drop(task.await.unwrap());
    go.send(()).unwrap();
    assert_eq!(seen.exited("task").await, ExitReason::Normal);
    ends_unharmed(tasks).await;
}

#[tokio::test(start_paused = true)]
async fn contained_a_task_that_is_not_awaited_may_panic_when_its_supervisor_stops() {
    let tasks = tasks().await;
    let spec = ChildSpec::task("hanging", |_stop| async {
        let _explosive = Explosive;
        pending::<()>().await;
    });
    tasks
        .start_child(spec.restart(Restart::Permanent).shutdown(Shutdown::Timeout(Duration::from_secs(1))))
        .await
        .unwrap();
    tokio::task::yield_now().await;
    soon("the end", tasks.shutdown()).await;
}
