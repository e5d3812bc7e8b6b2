//! Asking a service how it is.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use ractor::{ActorRef, Message, RpcReplyPort};
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::containment::CaughtPanic;

/// What a health check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Health {
    /// It is there, and the check said yes.
    Healthy,
    /// Nobody has the name.
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
}

impl Health {
    /// Whether all is well.
    pub const fn is_healthy(&self) -> bool {
        matches!(self, Self::Healthy)
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
        }
    }
}

/// What counts as a yes: `()`, `true` and `Ok(_)`.
pub trait Verdict: Send + 'static {
    /// `Err` with the reason if it is a no.
    fn verdict(self) -> Result<(), String>;
}

impl Verdict for () {
    fn verdict(self) -> Result<(), String> {
        Ok(())
    }
}

impl Verdict for bool {
    fn verdict(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("the check said no".to_owned()) }
    }
}

impl<T: Send + 'static, E: fmt::Display + Send + 'static> Verdict for Result<T, E> {
    fn verdict(self) -> Result<(), String> {
        self.map(drop).map_err(|error| error.to_string())
    }
}

type Check<M> = Box<dyn FnOnce(ActorRef<M>) -> BoxFuture<'static, Health> + Send>;

/// How to find out whether a service that answers to `M` is well.
///
/// ```
/// use foundation_core::HealthCheck;
/// use foundation_core::ractor::RpcReplyPort;
///
/// enum DoorMsg { IsOpen(RpcReplyPort<bool>) }
/// # foundation_core::local_message!(DoorMsg);
/// let alive = HealthCheck::<DoorMsg>::alive();
/// let open = HealthCheck::call(DoorMsg::IsOpen);
/// let custom = HealthCheck::<DoorMsg>::function(|_door| async { Err::<(), _>("the key is lost") });
/// # drop((alive, open, custom));
/// ```
pub struct HealthCheck<M>(Check<M>);

impl<M: Message> HealthCheck<M> {
    /// Healthy if somebody would take a message.
    pub fn alive() -> Self {
        Self(Box::new(|_| std::future::ready(Health::Healthy).boxed()))
    }

    /// Sends a message with a reply port; healthy if the answer is a yes.
    pub fn call<V: Verdict>(message: impl FnOnce(RpcReplyPort<V>) -> M + Send + 'static) -> Self {
        Self(Box::new(|actor| {
            async move {
                let (sender, answer) = oneshot::channel();
                if actor.send_message(message(sender.into())).is_err() {
                    return Health::Dead;
                }
                match answer.await {
                    Ok(verdict) => read(verdict),
                    Err(_) => Health::Failed("the service dropped the message without an answer".to_owned()),
                }
            }
            .boxed()
        }))
    }

    /// Runs any asynchronous function; healthy if it comes to a yes. A panic in it is contained.
    pub fn function<F, Fut, V>(check: F) -> Self
    where
        F: FnOnce(ActorRef<M>) -> Fut + Send + 'static,
        Fut: Future<Output = V> + Send,
        V: Verdict,
    {
        Self(Box::new(|actor| async move { read(check(actor).await) }.boxed()))
    }

    pub(crate) async fn run(self, actor: ActorRef<M>, limit: Duration) -> Health {
        let Self(check) = self;
        let check = AssertUnwindSafe(async move { check(actor).await }).catch_unwind();
        match timeout(limit, check).await {
            Ok(Ok(health)) => health,
            Ok(Err(panic)) => Health::Crashed(CaughtPanic::of(panic).into_text()),
            Err(_) => Health::TimedOut(limit),
        }
    }
}

fn read(verdict: impl Verdict) -> Health {
    verdict.verdict().map_or_else(Health::Failed, |()| Health::Healthy)
}
