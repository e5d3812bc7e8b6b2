//! Stopping actors whose tasks others hold.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, MaybeDone, maybe_done};
use ractor::{ActorCell, ActorStatus};
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::exit::SHUTDOWN;
use crate::supervisor::child_rules::Stopped;

/// Stops actors whose tasks others hold, together and within one time. Returns when they are gone, as far as ractor
/// reports that: see [`putting_off_wakes`]. The answers are in the order of the actors.
pub(crate) async fn stop_unmanaged(actors: &[ActorCell], limit: Duration) -> Vec<Stopped> {
    let mut ends: Vec<_> = actors.iter().map(|actor| maybe_done(end_of(actor.clone()).boxed())).collect();
    // Subscribe to all before asking the first.
    putting_off_wakes(|context| {
        for end in &mut ends {
            let _ = end.poll_unpin(context);
        }
        Poll::Ready(())
    })
    .await;
    actors.iter().for_each(|actor| actor.stop(Some(SHUTDOWN.to_owned())));
    let in_time = timeout(limit, all(&mut ends)).await.is_ok();
    let end = |actor: &ActorCell| {
        if in_time || actor.get_status() == ActorStatus::Stopped {
            return Stopped::InTime;
        }
        actor.kill();
        Stopped::Killed
    };
    let how = actors.iter().map(end).collect();
    all(&mut ends).await;
    how
}

async fn end_of(actor: ActorCell) {
    let _ = actor.wait(None).await;
}

/// The last one first: they mostly end in the order in which they were asked, and then one wake finds all of them gone.
async fn all(ends: &mut [MaybeDone<BoxFuture<'static, ()>>]) {
    let mut left = ends.len();
    putting_off_wakes(|context| {
        while let Some(end) = ends[..left].last_mut() {
            ready!(end.poll_unpin(context));
            left -= 1;
        }
        Poll::Ready(())
    })
    .await;
}

/// Polls for the ends of actors whose tasks others hold.
///
/// ractor wakes the waiters for an end while the actor's task still has the handler, and after a kill the state too;
/// they are dropped in the rest of the same poll. So the wake is put off until that poll is over. An actor that has
/// ended before the first poll here may still be about to drop them; ractor does not report that.
async fn putting_off_wakes<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    poll_fn(|context| {
        let after = Waker::from(Arc::new(WakeAfterThisPoll(context.waker().clone())));
        poll(&mut Context::from_waker(&after))
    })
    .await
}

/// Woken within the poll of a task, it wakes when that poll is over: tokio does so with a task that yields.
struct WakeAfterThisPoll(Waker);

impl Wake for WakeAfterThisPoll {
    fn wake(self: Arc<Self>) {
        let yielding = pin!(yield_now());
        // Outside a runtime it wakes at once.
        let _ = yielding.poll(&mut Context::from_waker(&self.0));
    }
}
