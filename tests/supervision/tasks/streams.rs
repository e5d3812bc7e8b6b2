//! Streams of results: their order, their concurrency, and the effect of a failure.

use std::future::pending;
use std::num::NonZeroUsize;
use std::time::Duration;

use foundation::supervision::{ChildError, OnTimeout, StreamOptions, StreamOrder, TaskError, TaskSupervisor};
use foundation_testkit::{Gate, soon};
use futures::{Stream, StreamExt};
use tokio::time::Instant;

use super::{Crew, known, limited, open};

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn at_a_time(number: usize) -> StreamOptions {
    StreamOptions::default().max_concurrency(NonZeroUsize::new(number).unwrap())
}

/// Each outcome in short.
pub(super) fn short<T: ToString>(outcome: Result<T, TaskError>) -> String {
    match outcome {
        Ok(value) => value.to_string(),
        Err(TaskError::Panicked(text)) => format!("panicked: {text}"),
        Err(TaskError::TimedOut(_)) => "timed out".into(),
        Err(TaskError::NotStarted(ChildError::TooManyChildren { .. })) => "too many".into(),
        Err(TaskError::NotStarted(ChildError::NotRunning { .. })) => "not running".into(),
        Err(error) => error.to_string(),
    }
}

async fn outcomes(tasks: &TaskSupervisor, options: StreamOptions) -> Vec<String> {
    let work = |n: u32| async move {
        match n {
            2 => panic!("two"),
            3 => pending().await,
            n => n * n,
        }
    };
    soon("the stream", tasks.stream_with(options, 1..=4, work).map(short).collect()).await
}

#[tokio::test]
async fn task_8_a_stream_gives_one_result_for_each_input() {
    let tasks = open().await;
    let squares = tasks.stream(1..=100u32, |n| async move { n * n });
    let squares: Vec<_> = soon("the squares", squares.map(Result::unwrap).collect()).await;
    assert_eq!(squares, (1..=100).map(|n| n * n).collect::<Vec<_>>());
    let none = tasks.stream(Vec::<u32>::new(), |n| async move { n });
    assert_eq!(none.count().await, 0);
    known(&tasks, 0).await;
    tasks.shutdown().await;
}

#[tokio::test]
async fn task_8_a_stream_never_exceeds_its_concurrency() {
    for order in [StreamOrder::Inputs, StreamOrder::Completion] {
        let (tasks, crew) = (open().await, Crew::new());
        let there = crew.clone();
        let stream = tasks.stream_with(at_a_time(4).order(order), 0..200, move |_| {
            let member = there.join();
            async move {
                let _member = member;
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(soon("the stream", stream.count()).await, 200);
        assert_eq!((crew.now(), crew.ever()), (0, 200));
        assert!((2..=4).contains(&crew.most()), "{}", crew.most());
        tasks.shutdown().await;
    }
}

/// Three tasks at a time, of which the first waits for the gate.
fn slowest_first(
    tasks: &TaskSupervisor,
    options: StreamOptions,
    gate: &Gate,
) -> impl Stream<Item = u32> + Unpin + use<> {
    let gate = gate.clone();
    let stream = tasks.stream_with(options, 0..3, move |n: u32| {
        let gate = gate.clone();
        async move {
            if n == 0 {
                gate.pass().await;
            }
            n
        }
    });
    stream.map(Result::unwrap)
}

#[tokio::test]
async fn task_8_the_slowest_first_holds_back_a_stream_in_the_order_of_the_inputs() {
    for options in [at_a_time(3), at_a_time(3).nolink()] {
        let (tasks, gate) = (open().await, Gate::new());
        let mut results = slowest_first(&tasks, options, &gate);
        assert!(futures::poll!(results.next()).is_pending());
        // The other two are done, and have to wait.
        known(&tasks, 1).await;
        assert!(futures::poll!(results.next()).is_pending());
        gate.open();
        assert_eq!(soon("the results", results.collect::<Vec<_>>()).await, [0, 1, 2]);
        tasks.shutdown().await;
    }
}

#[tokio::test]
async fn task_8_the_slowest_first_comes_last_as_completed() {
    for options in [at_a_time(3), at_a_time(3).nolink()] {
        let (tasks, gate) = (open().await, Gate::new());
        let mut results = slowest_first(&tasks, options.order(StreamOrder::Completion), &gate);
        let mut quick = Vec::new();
        for _ in 0..2 {
            quick.push(soon("a result", results.next()).await.unwrap());
        }
        quick.sort();
        assert_eq!(quick, [1, 2]);
        gate.open();
        assert_eq!(soon("the results", results.collect::<Vec<_>>()).await, [0]);
        tasks.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn task_8_a_failure_is_the_last_item_of_a_linked_stream() {
    let tasks = open().await;
    assert_eq!(outcomes(&tasks, at_a_time(4)).await, ["1", "panicked: two"]);
    known(&tasks, 0).await;
    tasks.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn task_8_a_failure_is_an_item_like_others_of_a_stream_that_is_not_linked() {
    let tasks = open().await;
    let options = at_a_time(2).nolink().timeout(SECOND).on_timeout(OnTimeout::KillTask);
    assert_eq!(outcomes(&tasks, options.clone()).await, ["1", "panicked: two", "timed out", "16"]);
    let mut as_completed = outcomes(&tasks, options.order(StreamOrder::Completion)).await;
    as_completed.sort();
    assert_eq!(as_completed, ["1", "16", "panicked: two", "timed out"]);
    known(&tasks, 0).await;
    tasks.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn task_8_a_time_out_ends_the_stream_or_only_the_task() {
    let (tasks, crew) = (open().await, Crew::new());
    for (on_timeout, expected) in
        [(OnTimeout::EndStream, vec!["1", "timed out"]), (OnTimeout::KillTask, vec!["1", "timed out", "3"])]
    {
        let there = crew.clone();
        let options = at_a_time(3).timeout(SECOND).on_timeout(on_timeout);
        let stream = tasks.stream_with(options, 1..=3, move |n| {
            let member = there.join();
            async move {
                let _member = member;
                if n == 2 { pending().await } else { n }
            }
        });
        let results: Vec<_> = soon("the stream", stream.map(short).collect()).await;
        assert_eq!(results, expected);
        crew.is(0).await;
    }
    tasks.shutdown().await;
}

/// The inputs are known, so a caller that needs to know which of them failed numbers them, as Elixir's option does.
#[tokio::test(start_paused = true)]
async fn task_8_a_result_can_be_matched_to_its_input_after_a_time_out() {
    let tasks = open().await;
    let options = at_a_time(2).nolink().timeout(SECOND).on_timeout(OnTimeout::KillTask);
    let inputs = ["quick", "slow", "quick again"];
    let stream = tasks.stream_with(options, inputs, |input| async move {
        if input == "slow" { pending().await } else { input.len() }
    });
    let failed = futures::stream::iter(inputs)
        .zip(stream)
        .filter_map(|(input, outcome)| async move { outcome.is_err().then_some(input) });
    assert_eq!(soon("the stream", failed.collect::<Vec<_>>()).await, ["slow"]);
    tasks.shutdown().await;
}

#[tokio::test]
async fn task_8_a_refusal_by_max_children_is_an_item() {
    let tasks = limited(1).await;
    let hold = tasks.spawn(pending::<()>()).await.unwrap();
    let stream = |options| tasks.stream_with(options, 0..3, |n: u32| async move { n }).map(short);
    assert_eq!(soon("the stream", stream(at_a_time(1)).collect::<Vec<_>>()).await, ["too many"]);
    assert_eq!(soon("the stream", stream(at_a_time(1).nolink()).collect::<Vec<_>>()).await, ["too many"; 3]);
    drop(hold);
    tasks.shutdown().await;
    // Without a supervisor the stream cannot continue, even if the inputs have no end.
    let endless = tasks.stream_with(at_a_time(1).nolink(), 0.., |n: u32| async move { n }).map(short);
    assert_eq!(soon("the stream", endless.collect::<Vec<_>>()).await, ["not running"]);
}

#[tokio::test]
async fn task_8_a_stream_is_read_by_its_holder() {
    let tasks = open().await;
    let mut stream = tasks.stream_with(at_a_time(2), 0..4, |n: u32| async move { n });
    assert_eq!(stream.next().await.unwrap().unwrap(), 0);
    let rest = tokio::spawn(stream.map(Result::unwrap).collect::<Vec<_>>());
    assert_eq!(soon("the rest", rest).await.unwrap(), [1, 2, 3]);
    tasks.shutdown().await;
}

/// The defaults: as many tasks as there are cores, in the order of the inputs, five seconds for each, and the end after
/// the first that takes longer.
#[tokio::test(start_paused = true)]
async fn a_stream_without_options_has_the_defaults() {
    let (tasks, crew) = (open().await, Crew::new());
    let there = crew.clone();
    let mut stream = tasks.stream(0..1_000_u32, move |n| {
        let member = there.join();
        async move {
            let _member = member;
            if n > 0 {
                std::future::pending::<()>().await;
            }
            n
        }
    });
    assert_eq!(soon("the first", stream.next()).await.unwrap().unwrap(), 0);
    let begun = Instant::now();
    let late = stream.next().await.unwrap_err();
    assert!(matches!(late, TaskError::TimedOut(limit) if limit == Duration::from_secs(5)), "{late}");
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    assert!(stream.next().await.unwrap().is_none(), "it has ended");
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!((cores..=cores + 1).contains(&crew.ever()), "{} tasks on {cores} cores", crew.ever());
    crew.is(0).await;
    tasks.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn the_time_out_of_a_task_applies_while_its_stream_is_not_polled() {
    let (tasks, crew) = (open().await, Crew::new());
    let there = crew.clone();
    let options = at_a_time(2).timeout(SECOND).on_timeout(OnTimeout::KillTask);
    let mut stream = tasks.stream_with(options, 1..=2, move |n| {
        let member = there.join();
        async move {
            let _member = member;
            if n == 1 { n } else { pending().await }
        }
    });
    assert_eq!(soon("the first", stream.next()).await.unwrap().unwrap(), 1);
    crew.is(1).await;
    let begun = Instant::now();
    // Its future is dropped when its time is over, and no later.
    crew.is(0).await;
    assert_eq!(begun.elapsed(), SECOND);
    let late = stream.next().await.unwrap_err();
    assert!(matches!(late, TaskError::TimedOut(SECOND)), "{late}");
    assert!(stream.next().await.unwrap().is_none());
    tasks.shutdown().await;
}
