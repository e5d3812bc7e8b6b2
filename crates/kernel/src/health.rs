//! Health: the result of a check, and the parts of a child's health.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use ractor::ActorCell;
use serde::Serialize;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::containment::{ContainedFuture, display_text, drop_contained};
use crate::namespace::ServiceName;

/// The result of a health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Health {
    /// It is there, and the check said yes.
    Healthy,
    /// No actor has the name.
    NotFound,
    /// The name's holder has ended, or is ending.
    Dead,
    /// It is there, and the check said no.
    Failed(String),
    /// The check did not finish in time.
    #[serde(rename = "timed_out_ms")]
    TimedOut(#[serde(serialize_with = "crate::written::millis")] Duration),
    /// The check itself panicked.
    Crashed(String),
    /// It works, but not in full.
    Degraded(String),
    /// It does not run, for longer than a restart may take.
    Down(String),
}

impl Health {
    /// Whether all is well.
    pub const fn is_healthy(&self) -> bool {
        matches!(self, Self::Healthy)
    }

    /// The health that a check has found.
    pub fn of(verdict: impl Verdict) -> Self {
        verdict.verdict()
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => f.pad("healthy"),
            Self::NotFound => f.pad("not found"),
            Self::Dead => f.pad("dead"),
            Self::Failed(reason) => write!(f, "failed: {reason}"),
            Self::TimedOut(limit) => write!(f, "timed out after {limit:?}"),
            Self::Crashed(panic) => write!(f, "crashed: {panic}"),
            Self::Degraded(reason) => write!(f, "degraded: {reason}"),
            Self::Down(reason) => write!(f, "down: {reason}"),
        }
    }
}

/// The outcome of a check: `()`, `true` and `Ok(_)` are a yes, `false` and `Err(_)` a no, and a [`Health`] is itself.
pub trait Verdict: Send + 'static {
    /// The same as a health.
    fn verdict(self) -> Health;
}

impl Verdict for () {
    fn verdict(self) -> Health {
        Health::Healthy
    }
}

impl Verdict for bool {
    fn verdict(self) -> Health {
        if self { Health::Healthy } else { Health::Failed("the check said no".to_owned()) }
    }
}

impl<T: Send + 'static, E: fmt::Display + Send + 'static> Verdict for Result<T, E> {
    fn verdict(self) -> Health {
        match self {
            Ok(value) => {
                drop_contained("what a health check found", value);
                Health::Healthy
            }
            Err(error) => {
                let text = display_text(&error);
                drop_contained("the error of a health check", error);
                Health::Failed(text)
            }
        }
    }
}

impl Verdict for Health {
    fn verdict(self) -> Health {
        self
    }
}

type Check = dyn Fn(ActorCell, Duration) -> BoxFuture<'static, Health> + Send + Sync;

/// The parts of a child's health: whether it runs, what its own check finds, and what it needs.
#[derive(Clone, Default)]
pub(crate) struct HealthRule {
    /// Whether it is part of the health of its namespace at all.
    pub(crate) counts: bool,
    /// Without it, running is enough. It is given the actor, and how long a restart may take.
    pub(crate) check: Option<Arc<Check>>,
    pub(crate) needs: Vec<ServiceName>,
}

/// Runs a check on a task of its own, since it may block its thread; panics are contained there, and the time is
/// limited, unless the limit is `None`.
pub async fn run_check<F, Fut>(limit: impl Into<Option<Duration>>, check: F) -> Health
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Health> + Send + 'static,
{
    let checking = ContainedFuture::new("a health check", async move { check().await }.boxed());
    let checking = AbortOnDropHandle::new(tokio::spawn(checking));
    let checked = match limit.into() {
        Some(limit) => match timeout(limit, checking).await {
            Ok(checked) => checked,
            Err(_) => return Health::TimedOut(limit),
        },
        None => checking.await,
    };
    match checked {
        Ok(Ok(health)) => health,
        Ok(Err(panic)) => Health::Crashed(panic.into_text()),
        Err(ended) => Health::Crashed(display_text(&ended)),
    }
}

#[cfg(test)]
mod tests {
    use futures::future::ready;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn nothing_true_and_ok_are_a_yes_false_and_an_error_a_no_and_a_health_is_itself() {
        assert!([Health::of(()), Health::of(true), Health::of(Ok::<_, String>(7))].iter().all(Health::is_healthy));
        assert_eq!(Health::of(false).to_string(), "failed: the check said no");
        assert_eq!(Health::of(Err::<(), _>("no desk")), Health::Failed("no desk".to_owned()));
        assert_eq!(Health::of(Health::Dead), Health::Dead);
    }

    #[test]
    fn what_a_check_found_may_panic_when_it_is_dropped_or_written() {
        struct Bad;
        impl Drop for Bad {
            fn drop(&mut self) {
                panic!("its destructor panics");
            }
        }
        impl fmt::Display for Bad {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                panic!("it has no text");
            }
        }
        assert!(Health::of(Ok::<_, String>(Bad)).is_healthy());
        assert_eq!(Health::of(Err::<(), _>(Bad)), Health::Failed("(its text panicked)".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_is_contained_in_what_it_does_and_in_how_long_it_takes() {
        let panics_at_once = || -> BoxFuture<'static, Health> { panic!("no check") };
        assert_eq!(run_check(SECOND, panics_at_once).await, Health::Crashed("no check".to_owned()));
        let panics_later = || async { panic!("no luck") };
        assert_eq!(run_check(SECOND, panics_later).await, Health::Crashed("no luck".to_owned()));
        assert_eq!(run_check(SECOND, std::future::pending).await, Health::TimedOut(SECOND));
        assert_eq!(run_check(SECOND, || ready(Health::Healthy)).await, Health::Healthy);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_without_a_limit_takes_as_long_as_it_takes() {
        let slow = || async {
            // The time itself is what is tested.
            tokio::time::timeout(SECOND * 86_400, std::future::pending::<()>()).await.unwrap_err();
            Health::Healthy
        };
        assert_eq!(run_check(None, slow).await, Health::Healthy);
    }
}
