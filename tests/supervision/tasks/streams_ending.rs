//! Streams that are not read to their end: started tasks are stopped, and no more are started.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foundation::supervision::{ChildEvent, DynamicSupervisorSpec, Shutdown, Stopped, StreamOptions, TaskSupervisor};
use foundation_testkit::{SOON, reports, soon};
use futures::{Stream, StreamExt};

use super::streams::{at_a_time, short};
use super::{Crew, known, open};

#[tokio::test]
async fn task_8_no_task_starts_before_the_first_poll() {
    let (tasks, crew) = (open().await, Crew::new());
    let there = crew.clone();
    let stream = tasks.stream_with(at_a_time(2), 0.., move |_: u32| {
        drop(there.join());
        async {}
    });
    assert_eq!(tasks.count_children().await.unwrap().specs, 0);
    drop(stream);
    assert_eq!((tasks.count_children().await.unwrap().specs, crew.ever()), (0, 0));
    tasks.shutdown().await;
}

#[tokio::test]
async fn task_8_no_more_tasks_are_started_than_are_needed() {
    let (tasks, taken) = (open().await, Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&taken);
    let inputs = (0..).inspect(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let stream = tasks.stream_with(at_a_time(3), inputs, |n: u32| async move { n });
    let five: Vec<_> = soon("five results", stream.take(5).map(Result::unwrap).collect()).await;
    assert_eq!(five, [0, 1, 2, 3, 4]);
    // The five, and those that were started while they were taken.
    let taken = taken.load(Ordering::Relaxed);
    assert!((5..=7).contains(&taken), "{taken} inputs");
    known(&tasks, 0).await;
    tasks.shutdown().await;
}

/// An adapter that ends the stream early drops it.
#[tokio::test]
async fn task_8_a_halt_from_outside_stops_the_unused_tasks() {
    for nolink in [false, true] {
        let (tasks, crew) = (open().await, Crew::new());
        let there = crew.clone();
        let options = if nolink { at_a_time(4).nolink() } else { at_a_time(4) };
        let stream = tasks.stream_with(options, 0.., move |n: u32| {
            let member = there.join();
            async move {
                let _member = member;
                if n == 0 { n } else { pending().await }
            }
        });
        let first: Vec<_> = soon("the first", stream.take(1).map(short).collect()).await;
        assert_eq!(first, ["0"]);
        crew.is(0).await;
        known(&tasks, 0).await;
        assert!(crew.ever() <= 4, "{}", crew.ever());
        tasks.shutdown().await;
    }
}

#[tokio::test]
async fn task_8_a_stream_that_is_shut_down_is_gone_on_return() {
    let (tasks, crew) = (open().await, Crew::new());
    let there = crew.clone();
    let mut stream = tasks.stream_with(at_a_time(8), 0..100, move |n: u32| {
        let member = there.join();
        async move {
            let _member = member;
            if n == 0 { n } else { pending().await }
        }
    });
    assert_eq!(soon("the first", stream.next()).await.unwrap().unwrap(), 0);
    soon("the shutdown", stream.shutdown()).await;
    assert_eq!(crew.now(), 0);
    known(&tasks, 0).await;
    tasks.shutdown().await;
}

#[tokio::test]
async fn task_8_a_stream_that_is_dropped_in_the_middle_of_its_starts_leaves_no_task() {
    let tasks = open().await;
    for _ in 0..50 {
        let mut stream = Box::pin(tasks.stream_with(at_a_time(10), 0.., |_: u32| pending::<()>()));
        assert!(futures::poll!(Box::pin(stream.next())).is_pending());
        drop(stream);
    }
    known(&tasks, 0).await;
    tasks.shutdown().await;
}

#[tokio::test]
async fn task_8_an_unused_task_of_a_stream_is_stopped_by_the_rule_of_the_stream() {
    for (rule, expected) in [(Shutdown::BrutalKill, Stopped::Brutally), (Shutdown::Timeout(SOON), Stopped::InTime)] {
        let (reporter, mut reports) = reports();
        let spec = DynamicSupervisorSpec::default().reporter(reporter);
        let tasks = TaskSupervisor::start("tasks", spec).await.unwrap();
        let options = StreamOptions::default().shutdown(rule);
        let mut stream = tasks.stream_with(options, 0..1, |_: u32| pending::<()>());
        assert!(futures::poll!(Box::pin(stream.next())).is_pending());
        known(&tasks, 1).await;
        drop(stream);
        let stopped = reports.find("the stop", |report| match report.happened {
            ChildEvent::Stopped { how, .. } => Some(how),
            _ => None,
        });
        assert_eq!(stopped.await, expected);
        tasks.shutdown().await;
    }
}

#[tokio::test]
async fn task_8_a_stream_reports_that_its_supervisor_has_stopped() {
    let tasks = open().await;
    let mut stream = tasks.stream_with(at_a_time(2).nolink(), 0.., |_: u32| pending::<u32>());
    assert!(futures::poll!(Box::pin(stream.next())).is_pending());
    known(&tasks, 2).await;
    tasks.shutdown().await;
    let rest: Vec<_> = soon("the rest", stream.map(short).collect()).await;
    let cut_off = "the task was shut down before it had finished";
    // The two that ran, then one for each attempt to continue, the first of which ends the stream.
    assert_eq!(rest, [cut_off, cut_off, "not running"]);
}

/// It can be handed on to another thread, and polled without being pinned.
#[tokio::test]
async fn task_8_a_stream_can_be_moved_to_another_thread() {
    fn handed_on<S: Stream + Send + Unpin + 'static>(stream: S) -> S {
        stream
    }
    let tasks = open().await;
    let stream = handed_on(tasks.stream(0..3u8, |n| async move { n }));
    assert_eq!(soon("the stream", tokio::spawn(stream.count())).await.unwrap(), 3);
    tasks.shutdown().await;
}
