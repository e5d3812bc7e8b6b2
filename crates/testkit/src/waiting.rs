use std::fmt::{Debug, Display};
use std::time::Duration;

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

/// Asks again, one turn of the scheduler later each time, until there is an answer: for facts that no notification
/// announces.
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

/// The text of the error.
///
/// # Panics
/// If there is none.
#[track_caller]
pub fn error_text<T: Debug>(outcome: Result<T, impl Display>) -> String {
    outcome.expect_err("an error").to_string()
}
