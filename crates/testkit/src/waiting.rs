use std::fmt::Display;
use std::time::Duration;

use futures::FutureExt;
use tokio::runtime::Handle;

/// A time-out that only a failing test reaches.
pub const SOON: Duration = Duration::from_secs(30);

/// The time that [`soon`] waits, also by a paused clock.
const PATIENCE: Duration = Duration::from_secs(60);

/// The future's output.
///
/// # Panics
/// If that takes more than a minute, with the name of the missing fact.
pub async fn soon<T>(what: impl Display, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: this did not happen within {PATIENCE:?}"),
    }
}

/// Returns when this holds; it is asked again at each turn of the scheduler. For facts that no notification announces.
///
/// # Panics
/// If that takes more than a minute, with the name of the missing fact.
pub async fn until(what: impl Display, mut holds: impl AsyncFnMut() -> bool) {
    eventually(what, async || holds().await.then_some(())).await;
}

/// The same for a fact with a value: returns it when there is one.
///
/// # Panics
/// If that takes more than a minute, with the name of the missing fact.
pub async fn eventually<T>(what: impl Display, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    soon(what, async {
        loop {
            match ask().await {
                Some(answer) => return answer,
                None => tokio::task::yield_now().await,
            }
        }
    })
    .await
}

/// The number of tasks of this runtime that are alive.
pub fn alive_tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Returns when no more tasks of this runtime are alive. A runtime removes a task from its list just after the task's
/// waiter is woken, and an actor's handler is dropped before that; there is nothing else to await.
///
/// # Panics
/// If that takes more than a minute.
pub async fn until_tasks_left(tasks: usize) {
    until(format!("the end of all tasks but {tasks}"), async || alive_tasks() <= tasks).await;
}

/// Polls a future at most this many times, with a turn for other tasks after each, and drops it; its output, if it was
/// ready by then.
pub async fn poll_and_drop<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        if let Some(output) = (&mut future).now_or_never() {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}
