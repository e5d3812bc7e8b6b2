//! Tasks that are awaited, linked or not.

use std::future::pending;
use std::sync::Arc;

use foundation::supervision::{ChildError, ChildState, TaskError, TaskOptions};
use foundation_testkit::{Gate, soon};

use super::{Crew, known, limited, open};

#[tokio::test]
async fn task_8_a_spawned_task_runs_under_the_supervisor_and_gives_its_value() {
    let (tasks, gate) = (open().await, Gate::new());
    let passed = gate.clone();
    let task = tasks.spawn(async move {
        passed.pass().await;
        42
    });
    let task = task.await.unwrap();
    assert_eq!(tasks.children().await.unwrap(), [task.id()]);
    gate.open();
    assert_eq!(soon("the value", task).await.unwrap(), 42);
    known(&tasks, 0).await;
    tasks.shutdown().await;
}

#[tokio::test]
async fn task_8_tasks_are_listed_under_their_labels_the_newest_first() {
    let tasks = open().await;
    let _mail = tasks.spawn_with(TaskOptions::new("mail"), |_| pending::<()>()).await.unwrap();
    let _plain = tasks.spawn(pending::<()>()).await.unwrap();
    let listed: Vec<_> = tasks.which_children().await.unwrap();
    assert_eq!(listed.iter().map(|child| child.id.as_str()).collect::<Vec<_>>(), ["task", "mail"]);
    assert!(listed.iter().all(|child| matches!(child.state, ChildState::Running(_))));
    tasks.shutdown().await;
}

#[tokio::test]
async fn task_8_an_empty_label_is_refused() {
    let tasks = open().await;
    let error = tasks.spawn_with(TaskOptions::new(""), |_| pending::<()>()).await.unwrap_err();
    assert!(matches!(error, ChildError::Spec(_)), "{error}");
    tasks.shutdown().await;
}

#[tokio::test]
async fn task_8_a_task_beyond_the_limit_is_refused_linked_or_not() {
    let tasks = limited(1).await;
    let task = tasks.spawn(pending::<()>()).await.unwrap();
    for error in
        [tasks.spawn(pending::<()>()).await.unwrap_err(), tasks.spawn_nolink(pending::<()>()).await.unwrap_err()]
    {
        assert!(matches!(error, ChildError::TooManyChildren { max_children: 1 }), "{error}");
    }
    drop(task);
    known(&tasks, 0).await;
    assert_eq!(tasks.spawn(async { 1 }).await.unwrap().await.unwrap(), 1);
    tasks.shutdown().await;
}

#[tokio::test]
async fn task_8_a_linked_task_stops_when_its_owner_is_gone() {
    let (tasks, crew) = (open().await, Crew::new());
    let member = crew.join();
    let task = tasks.spawn(async move {
        let _member = member;
        pending::<()>().await;
    });
    let task = task.await.unwrap();
    let owner = tokio::spawn(task);
    owner.abort();
    crew.is(0).await;
    known(&tasks, 0).await;
    tasks.shutdown().await;
}

/// The call is dropped with the request on its way: the task has no owner when it begins.
#[tokio::test]
async fn task_8_a_spawn_that_is_no_longer_awaited_leaves_no_task() {
    let (tasks, crew) = (open().await, Crew::new());
    for _ in 0..100 {
        let member = crew.join();
        let mut spawn = Box::pin(tasks.spawn(async move {
            let _member = member;
            pending::<()>().await;
        }));
        assert!(futures::poll!(&mut spawn).is_pending());
        drop(spawn);
    }
    crew.is(0).await;
    known(&tasks, 0).await;
    tasks.shutdown().await;
}

#[tokio::test]
async fn task_8_a_task_that_is_not_linked_continues_without_its_owner() {
    let (tasks, gate, crew) = (open().await, Gate::new(), Crew::new());
    let (passed, member) = (gate.clone(), crew.join());
    let task = tasks.spawn_nolink(async move {
        let _member = member;
        passed.pass().await;
    });
    let id = task.await.unwrap().id();
    // A request and its answer: any effect of the drop would have arrived.
    assert_eq!(tasks.children().await.unwrap(), [id]);
    assert_eq!(tasks.children().await.unwrap(), [id]);
    assert_eq!(crew.now(), 1);
    gate.open();
    crew.is(0).await;
    known(&tasks, 0).await;
    tasks.shutdown().await;
}

#[tokio::test]
async fn task_8_the_failure_of_a_task_reaches_only_its_owner() {
    let tasks = open().await;
    let sibling = tasks.spawn_nolink(pending::<()>()).await.unwrap();
    let failing = tasks.spawn(async { panic!("no paper") }).await.unwrap();
    let error: TaskError = soon("the failure", failing).await.unwrap_err();
    assert!(matches!(&error, TaskError::Panicked(text) if text == "no paper"), "{error}");
    let failing = tasks.spawn_nolink(async { panic!("no {}", "ink") }).await.unwrap();
    let error: TaskError = soon("the failure", failing).await.unwrap_err();
    assert!(matches!(&error, TaskError::Panicked(text) if text == "no ink"), "{error}");
    known(&tasks, 1).await;
    assert_eq!(tasks.children().await.unwrap(), [sibling.id()]);
    tasks.shutdown().await;
}

#[tokio::test]
async fn task_8_a_panic_before_there_is_a_future_is_the_failure_of_the_task() {
    let tasks = open().await;
    let work = |_| {
        if true {
            panic!("not even begun");
        }
        pending::<()>()
    };
    let error = tasks.spawn_with(TaskOptions::default(), work).await.unwrap().await.unwrap_err();
    assert!(matches!(&error, TaskError::Panicked(text) if text == "not even begun"), "{error}");
    tasks.shutdown().await;
}

#[tokio::test]
async fn task_8_nothing_is_kept_of_a_task_that_has_ended() {
    let tasks = open().await;
    let load = Arc::new(());
    let (value, panicking) = (Arc::clone(&load), Arc::clone(&load));
    let value = tasks.spawn(async move { Arc::strong_count(&value) }).await.unwrap();
    value.await.unwrap();
    let panicking = tasks.spawn(async move {
        let _panicking = panicking;
        panic!("broken")
    });
    let _: TaskError = panicking.await.unwrap().await.unwrap_err();
    known(&tasks, 0).await;
    assert_eq!(Arc::strong_count(&load), 1);
    tasks.shutdown().await;
}
