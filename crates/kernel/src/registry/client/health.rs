//! Health checks of a service.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use ractor::{ActorRef, ActorStatus, Message, RpcReplyPort};
use tokio::time::timeout;

use crate::ask::{AskError, ask};
use crate::containment::CaughtPanic;
use crate::health::{Health, Verdict};

type Check<M> = Box<dyn FnOnce(ActorRef<M>) -> BoxFuture<'static, Health> + Send>;

/// How to find out whether a service that answers to `M` is healthy.
///
/// ```
/// use foundation_kernel::names::HealthCheck;
/// use foundation_kernel::ractor::RpcReplyPort;
///
/// enum DoorMsg { IsOpen(RpcReplyPort<bool>) }
/// # foundation_kernel::local_message!(DoorMsg);
/// let alive = HealthCheck::<DoorMsg>::alive();
/// let open = HealthCheck::call(DoorMsg::IsOpen);
/// let custom = HealthCheck::<DoorMsg>::function(|_door| async { Err::<(), _>("the key is lost") });
/// # drop((alive, open, custom));
/// ```
pub struct HealthCheck<M>(Check<M>);

impl<M> fmt::Debug for HealthCheck<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HealthCheck")
    }
}

impl<M: Message> HealthCheck<M> {
    /// Healthy if the service would take a message.
    pub fn alive() -> Self {
        Self(Box::new(|_| std::future::ready(Health::Healthy).boxed()))
    }

    /// Sends a message with a reply port; healthy if the answer is a yes.
    pub fn call<V: Verdict>(message: impl FnOnce(RpcReplyPort<V>) -> M + Send + 'static) -> Self {
        Self(Box::new(|actor| {
            async move {
                match ask(&actor, message).await {
                    Ok(verdict) => Health::of(verdict),
                    Err(AskError::NotDelivered(_)) => Health::Dead,
                    Err(AskError::NoReply) if actor.get_status() >= ActorStatus::Stopping => Health::Dead,
                    Err(AskError::NoReply) => {
                        Health::Failed("the service dropped the message without an answer".to_owned())
                    }
                }
            }
            .boxed()
        }))
    }

    /// Runs any asynchronous function; healthy if its outcome is a yes. A panic in it is contained.
    pub fn function<F, Fut, V>(check: F) -> Self
    where
        F: FnOnce(ActorRef<M>) -> Fut + Send + 'static,
        Fut: Future<Output = V> + Send,
        V: Verdict,
    {
        Self(Box::new(|actor| async move { Health::of(check(actor).await) }.boxed()))
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
