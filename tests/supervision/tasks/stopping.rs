//! How tasks are stopped: dropped, asked, or killed.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use foundation::supervision::{
    ChildError, DynamicSupervisorSpec, Restart, RestartIntensity, Shutdown, StopReason, SupervisorSpec, TaskError,
    TaskOptions, TaskStop,
};
use foundation::{ChildSpec, Strategy, Supervisor};
use foundation_testkit::{Gate, eventually, soon};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::{Crew, known, open};

const SECOND: Duration = Duration::from_secs(1);

fn within(limit: Duration) -> TaskOptions {
    TaskOptions::default().shutdown(Shutdown::Timeout(limit))
}

#[tokio::test]
async fn task_8_a_terminated_task_is_gone_and_not_found_again() {
    let (tasks, crew) = (open().await, Crew::new());
    let member = crew.join();
    let task = tasks.spawn_nolink(async move {
        let _member = member;
        pending::<()>().await;
    });
    let task = task.await.unwrap();
    tasks.terminate_child(task.id()).await.unwrap();
    assert_eq!(crew.now(), 0);
    let error = tasks.terminate_child(task.id()).await.unwrap_err();
    assert!(matches!(error, ChildError::NotFound { .. }), "{error}");
    tasks.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn task_8_a_task_that_holds_its_stop_ends_in_order() {
    let (tasks, crew) = (open().await, Crew::new());
    let member = crew.join();
    let work = |stop: TaskStop| async move {
        let _member = member;
        assert!(!stop.is_requested());
        stop.requested().await;
        assert!(stop.is_requested());
        // The time to save its work.
        let _ = tokio::time::timeout(SECOND, pending::<()>()).await;
        "written down"
    };
    let task = tasks.spawn_with(within(2 * SECOND), work).await.unwrap();
    // It has begun: it would see at its beginning that its stop is requested.
    tokio::task::yield_now().await;
    let begun = Instant::now();
    tasks.shutdown().await;
    assert_eq!((begun.elapsed(), crew.now()), (SECOND, 0));
    assert_eq!(task.await.unwrap(), "written down");
}

/// As the documentation of `spawn_with` says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn task_8_a_task_that_holds_its_stop_gives_its_value_even_if_it_is_asked_before_it_begins() {
    let tasks = open().await;
    let work = |stop: TaskStop| async move {
        stop.requested().await;
        "everything written down"
    };
    for _ in 0..400 {
        let task = tasks.spawn_with(within(10 * SECOND), work).await.unwrap();
        assert_eq!(task.shutdown().await.unwrap(), "everything written down");
    }
    let task = tasks.spawn_with(within(10 * SECOND), work).await.unwrap();
    tasks.shutdown().await;
    assert_eq!(task.await.unwrap(), "everything written down");
}

#[tokio::test(start_paused = true)]
async fn task_8_a_task_that_does_not_end_in_its_time_is_killed() {
    let (tasks, crew) = (open().await, Crew::new());
    let member = crew.join();
    let work = |stop: TaskStop| async move {
        let _held = (member, stop);
        pending::<()>().await;
    };
    let task = tasks.spawn_with(within(2 * SECOND), work).await.unwrap();
    tokio::task::yield_now().await;
    let begun = Instant::now();
    tasks.terminate_child(task.id()).await.unwrap();
    assert_eq!((begun.elapsed(), crew.now()), (2 * SECOND, 0));
    assert!(matches!(task.await.unwrap_err(), TaskError::Killed));
    tasks.shutdown().await;
}

/// Not even one that may take for ever: it does not listen, so there is nothing to wait for.
#[tokio::test(start_paused = true)]
async fn task_8_a_task_that_does_not_hold_its_stop_is_dropped_at_once() {
    let (tasks, crew) = (open().await, Crew::new());
    let member = crew.join();
    let options = TaskOptions::default().shutdown(Shutdown::Infinity);
    let task = tasks.spawn_with(options, |_stop| async move {
        let _member = member;
        pending::<()>().await;
    });
    let task = task.await.unwrap();
    tokio::task::yield_now().await;
    let begun = Instant::now();
    assert!(matches!(task.shutdown().await.unwrap_err(), TaskError::Shutdown));
    assert_eq!((begun.elapsed(), crew.now()), (Duration::ZERO, 0));
    tasks.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn task_8_the_rule_also_holds_for_a_task_whose_owner_is_gone() {
    let (tasks, crew) = (open().await, Crew::new());
    let member = crew.join();
    let work = |stop: TaskStop| async move {
        let _held = (member, stop);
        pending::<()>().await;
    };
    let task = tasks.spawn_with(within(2 * SECOND), work).await.unwrap();
    tokio::task::yield_now().await;
    let begun = Instant::now();
    drop(task);
    crew.is(0).await;
    assert_eq!(begun.elapsed(), 2 * SECOND);
    known(&tasks, 0).await;
    tasks.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn task_8_a_shutdown_stops_all_tasks_together_each_within_its_own_time() {
    let (tasks, crew) = (open().await, Crew::new());
    let mut owned = Vec::new();
    for seconds in 1..=5 {
        let member = crew.join();
        let work = |stop: TaskStop| async move {
            let _held = (member, stop);
            pending::<()>().await;
        };
        owned.push(tasks.spawn_with(within(seconds * SECOND), work).await.unwrap());
    }
    tokio::task::yield_now().await;
    let begun = Instant::now();
    tasks.shutdown().await;
    assert_eq!((begun.elapsed(), crew.now()), (5 * SECOND, 0));
}

#[tokio::test]
async fn task_8_a_task_supervisor_is_a_child_like_any_other() {
    let task_supervisor = |id| ChildSpec::task_supervisor(id, DynamicSupervisorSpec::default());
    let spec = SupervisorSpec::new(Strategy::OneForOne).children([task_supervisor("mail"), task_supervisor("print")]);
    let top = Supervisor::start("top", spec).await.unwrap();
    assert_eq!(top.count_children().await.unwrap().supervisors, 2);
    let mail = top.task_supervisor("mail").await.unwrap().unwrap();
    let print = top.task_supervisor("print").await.unwrap().unwrap();
    let crew = Crew::new();
    let (one, other) = (crew.join(), crew.join());
    let _one = mail.spawn(async move {
        let _one = one;
        pending::<()>().await;
    });
    let _one = _one.await.unwrap();
    let other = print.spawn(async move {
        let _other = other;
        pending::<()>().await;
    });
    let other = other.await.unwrap();

    // Only the killed one is replaced, empty.
    mail.actor().unwrap().kill();
    crew.is(1).await;
    let mail = eventually("the replacement", async || {
        let again = top.task_supervisor("mail").await.unwrap();
        again.filter(|again| again.actor().unwrap().get_id() != mail.actor().unwrap().get_id())
    });
    assert_eq!(mail.await.count_children().await.unwrap().specs, 0);
    assert_eq!(print.children().await.unwrap(), [other.id()]);

    soon("the shutdown", top.shutdown()).await;
    assert_eq!(crew.now(), 0);
}

/// A future that is busy without yielding does not see the stop; its end is awaited all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn task_8_a_terminated_task_is_dropped_before_it_is_reported_as_gone() {
    let (tasks, crew) = (open().await, Crew::new());
    let (busy, member) = (Gate::new(), crew.join());
    let (release, released) = std::sync::mpsc::channel::<()>();
    let reached = busy.clone();
    let task = tasks.spawn(async move {
        let _member = member;
        reached.open();
        tokio::task::block_in_place(|| released.recv()).unwrap_err();
        pending::<()>().await;
    });
    let task = task.await.unwrap();
    busy.pass().await;
    let mut terminated = Box::pin(tasks.terminate_child(task.id()));
    assert!(futures::poll!(&mut terminated).is_pending());
    assert_eq!(crew.now(), 1);
    drop(release);
    soon("the end", terminated).await.unwrap();
    assert_eq!(crew.now(), 0);
    tasks.shutdown().await;
}

/// A task is stopped through its supervisor.
#[tokio::test]
async fn a_stop_that_is_sent_to_the_actor_of_a_task_is_read_when_its_future_has_ended() {
    let (tasks, gate) = (open().await, Gate::new());
    let (begun, held) = (Gate::new(), gate.clone());
    let start = begun.clone();
    let spec = ChildSpec::task("task", move |_| {
        let (start, held) = (start.clone(), held.clone());
        async move {
            start.open();
            held.pass().await;
        }
    });
    let actor = tasks.start_child(spec).await.unwrap().unwrap();
    soon("its beginning", begun.pass()).await;
    actor.stop(None);
    for _ in 0..100 {
        assert_eq!(tasks.children().await.unwrap(), [actor.get_id()]);
    }
    gate.open();
    known(&tasks, 0).await;
    tasks.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_learns_whether_it_is_stopped_in_order_or_since_a_supervisor_above_gives_up() {
    let (sender, mut reasons) = mpsc::unbounded_channel();
    let told = ChildSpec::task("told", move |stop: TaskStop| {
        let sender = sender.clone();
        async move {
            let before = stop.reason();
            stop.requested().await;
            let _ = sender.send((before, stop.reason()));
        }
    });
    let may_fail = Arc::new(Semaphore::new(0));
    let permits = Arc::clone(&may_fail);
    let failing = ChildSpec::task("failing", move |_| {
        let permits = Arc::clone(&permits);
        async move {
            permits.acquire().await?.forget();
            Err::<(), Box<dyn std::error::Error + Send + Sync>>("as ordered".into())
        }
    });
    let one_for_one = || SupervisorSpec::new(Strategy::OneForOne);
    let below = ChildSpec::supervisor("below", one_for_one().child(told));
    let middle = one_for_one().intensity(RestartIntensity::new(0, SECOND)).child(below);
    let middle = middle.child(failing.restart(Restart::Permanent));
    let top = Supervisor::start("top", one_for_one().child(ChildSpec::supervisor("middle", middle))).await.unwrap();
    may_fail.add_permits(1);
    assert_eq!(reasons.recv().await, Some((None, Some(StopReason::GaveUp))));
    // The next life is stopped with the whole tree.
    let middle = top.supervisor("middle");
    soon("it runs again", async { while !matches!(top.supervisor("middle").await, Ok(Some(_))) {} }).await;
    drop(middle);
    top.shutdown().await;
    assert_eq!(reasons.recv().await, Some((None, Some(StopReason::Shutdown))));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_stopped_by_the_strategy_learns_of_a_shutdown_and_is_started_again() {
    let (sender, mut reasons) = mpsc::unbounded_channel();
    let stopped = ChildSpec::task("stopped", move |stop: TaskStop| {
        let sender = sender.clone();
        async move {
            let _ = sender.send(None);
            stop.requested().await;
            let _ = sender.send(stop.reason());
        }
    });
    let may_fail = Arc::new(Semaphore::new(0));
    let permits = Arc::clone(&may_fail);
    let failing = ChildSpec::task("failing", move |_| {
        let permits = Arc::clone(&permits);
        async move {
            permits.acquire().await?.forget();
            Err::<(), Box<dyn std::error::Error + Send + Sync>>("as ordered".into())
        }
    });
    let spec = SupervisorSpec::new(Strategy::OneForAll).intensity(RestartIntensity::new(1, SECOND));
    let spec = spec.child(stopped.restart(Restart::Permanent)).child(failing.restart(Restart::Permanent));
    let top = Supervisor::start("top", spec).await.unwrap();
    assert_eq!(reasons.recv().await, Some(None), "it runs");
    may_fail.add_permits(1);
    assert_eq!(reasons.recv().await, Some(Some(StopReason::Shutdown)));
    assert_eq!(reasons.recv().await, Some(None), "it runs again");
    // The topmost supervisor gives up: nothing starts it again.
    may_fail.add_permits(1);
    assert_eq!(reasons.recv().await, Some(Some(StopReason::GaveUp)));
    top.wait_until_gone().await;
    assert_eq!(reasons.recv().await, None);
}
