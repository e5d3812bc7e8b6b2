//! Asking an actor: a message with a reply port, and a reply that comes, or is known not to come.
//!
//! A message that is sent at the moment at which an actor ends can stay in its mailbox, neither read nor dropped, for
//! as long as there is a reference to the actor, and the caller has one. So no request of this library waits for the
//! reply alone: each waits for the end of the actor beside it.

use std::convert::Infallible;
use std::future::{Pending, pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use ractor::{ActorCell, ActorRef, Message, MessagingErr, RpcReplyPort};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Timeout, timeout};

use crate::containment::{catch_panic, drop_contained, report, waking_contained};

/// Why a question has no answer.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum AskError<M> {
    /// The actor takes no messages: it has ended, or is about to. The message comes back.
    #[error("the actor takes no messages: it has ended, or is about to")]
    NotDelivered(M),
    /// The actor took the message and ended, or dropped the reply port, without a reply.
    #[error("the actor took the message and ended without an answer")]
    NoReply,
}

// By hand: a message need not be `Debug` for its error to be.
impl<M> std::fmt::Debug for AskError<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::NoReply) { "NoReply" } else { "NotDelivered" })
    }
}

/// Sends an actor a message with a reply port and waits for the reply, however long the actor takes.
///
/// Unlike ractor's `call`, it returns when the actor ends, whatever has become of the message. An actor that hands its
/// reply port on to another must therefore not end before that one has replied, as in OTP.
///
/// ```
/// use foundation_kernel::{AskError, ask};
/// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
/// # struct Clerk;
/// # enum ClerkMsg { Ask(RpcReplyPort<u8>) }
/// # foundation_kernel::local_message!(ClerkMsg);
/// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
/// # impl Actor for Clerk {
/// #     type Msg = ClerkMsg; type State = (); type Arguments = ();
/// #     async fn pre_start(&self, _: ActorRef<ClerkMsg>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
/// #     async fn handle(&self, _: ActorRef<ClerkMsg>, ClerkMsg::Ask(reply): ClerkMsg, _: &mut ()) -> Result<(), ActorProcessingErr> {
/// #         let _ = reply.send(7);
/// #         Ok(())
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let (clerk, _task) = Actor::spawn(None, Clerk, ()).await?;
/// assert_eq!(ask(&clerk, ClerkMsg::Ask).await?, 7);
/// clerk.stop_and_wait(None, None).await?;
/// assert!(matches!(ask(&clerk, ClerkMsg::Ask).await, Err(AskError::NotDelivered(_))));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`AskError::NotDelivered`] gives the message back; [`AskError::NoReply`] if the actor ended, or dropped the port,
/// without a reply.
pub async fn ask<M: Message, R: Send + 'static>(
    actor: &ActorRef<M>,
    message: impl FnOnce(RpcReplyPort<R>) -> M,
) -> Result<R, AskError<M>> {
    let (sender, answer) = oneshot::channel();
    send(actor, message(sender.into())).map_err(AskError::NotDelivered)?;
    waking_contained(reply(actor, answer)).await.ok_or(AskError::NoReply)
}

/// Answers a request. The answer to a caller that has stopped waiting is dropped here, and a panic of its destructor is
/// contained. A caller is woken by its waker, which may be any code: a panic of it ends here, too.
pub fn answer<T>(reply: RpcReplyPort<T>, value: T) {
    match catch_panic(|| reply.send(value)) {
        Ok(Ok(())) => {}
        Ok(Err(unwanted)) => drop_contained("an answer for which no caller waits", unwanted),
        Err(panic) => report(|| tracing::warn!(%panic, "the waker of a caller panicked")),
    }
}

/// Sends a message, or gives it back.
pub(crate) fn send<M: Message>(actor: &ActorCell, message: M) -> Result<(), M> {
    match actor.send_message(message) {
        Ok(()) => Ok(()),
        Err(MessagingErr::SendErr(message)) => Err(message),
        // Only a message to another machine that cannot be serialised ends here, and ractor has dropped it.
        Err(_) => Ok(()),
    }
}

/// The reply to a message that this actor has taken; `None` if it ended, or dropped the port, without one.
///
/// To be polled with a contained waker: the actor wakes it, in its last moments too, and a waker that panics must not keep
/// the actor's end from others.
pub(crate) async fn reply<R>(actor: &ActorCell, mut answer: oneshot::Receiver<R>) -> Option<R> {
    // Pinned here, since each move of it would be a copy of some hundred bytes.
    let mut end = pin!(actor.wait(None));
    poll_fn(|context| match Pin::new(&mut answer).poll(context) {
        Poll::Ready(answered) => Poll::Ready(answered.ok()),
        // A reply sent before the end has arrived by now.
        Poll::Pending => end.as_mut().poll(context).map(|_| answer.try_recv().ok()),
    })
    .await
}

/// A time that has begun. Made before anything is sent, since there may be no clock to wait with.
pub(crate) struct TimeLimit(Timeout<Pending<Infallible>>);

impl TimeLimit {
    /// Begins now.
    ///
    /// # Panics
    /// Outside a tokio runtime, and in one whose time is not enabled.
    pub(crate) fn begin(limit: Duration) -> Self {
        Self(timeout(limit, pending()))
    }

    /// The same; `None` where the other panics.
    pub(crate) fn try_begin(limit: Duration) -> Option<Self> {
        // Checked first: a panic is printed even if it is caught.
        Handle::try_current().ok()?;
        catch_panic(|| Self::begin(limit)).ok()
    }

    /// The output of the future, if it finishes in time. It is polled with a contained waker, as the time is: tokio's timer
    /// wakes many tasks together.
    pub(crate) async fn within<T>(self, future: impl Future<Output = T>) -> Option<T> {
        let (mut future, mut time) = (pin!(future), pin!(self.0));
        waking_contained(poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => time.as_mut().poll(context).map(|_| None),
        }))
        .await
    }
}
