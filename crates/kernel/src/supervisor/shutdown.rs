//! Stopping one actor, and confirming that it is gone.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, MaybeDone, maybe_done};
use ractor::{ActorCell, ActorStatus};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use super::child_spec::Shutdown;
use super::group::Gone;
use super::report::Stopped;
use super::started::Started;
use crate::containment::{catch_panic, drop_contained, report};
use crate::exit::SHUTDOWN;

/// Stops a child by its rule and returns when it is gone: its task has ended, its state and handler are dropped, and
/// the whole subtree of a supervisor is gone.
pub(crate) async fn stop(mut child: Started, rule: Shutdown) -> Stopped {
    let begun = Instant::now();
    ask(&child, rule);
    let how = end(&mut child, rule, begun).await;
    gone(child).await;
    how
}

/// The same for children that do not depend on each other: all are asked first, and each has its own time from then on.
/// The answers are in the order of the children.
pub(crate) async fn stop_together(mut children: Vec<(Started, Shutdown)>) -> Vec<Stopped> {
    let begun = Instant::now();
    children.iter().for_each(|(child, rule)| ask(child, *rule));
    // The earliest deadline is awaited first, so that a slow child takes no other's time. Among equals the last is
    // first: they mostly end in the order in which they were asked, and then one wake finds all of them gone.
    let mut waits: Vec<_> = children.iter_mut().enumerate().rev().collect();
    waits.sort_by_key(|(_, (_, rule))| limit(*rule));
    let mut how = vec![Stopped::InTime; waits.len()];
    for (at, (child, rule)) in waits {
        how[at] = end(child, *rule, begun).await;
    }
    for (child, _) in children {
        gone(child).await;
    }
    how
}

/// Asks a child to stop, or kills it, by its rule.
fn ask(child: &Started, rule: Shutdown) {
    if rule == Shutdown::BrutalKill {
        return child.actor.kill();
    }
    if let Some(asked) = &child.asked {
        // Wakes the task from any wait.
        if let Err(panic) = catch_panic(|| asked.cancel()) {
            report(|| tracing::warn!(%panic, "a task panicked when it was woken"));
        }
    }
    child.actor.stop(Some(SHUTDOWN.to_owned()));
}

/// The time of a child that is asked to stop by this rule; it need not have ended when the others are awaited.
fn limit(rule: Shutdown) -> Duration {
    match rule {
        Shutdown::BrutalKill => Duration::ZERO,
        Shutdown::Timeout(limit) => limit,
        Shutdown::Infinity => Duration::MAX,
    }
}

/// Waits until a child that was asked to stop has ended, or kills it when its time is over.
async fn end(child: &mut Started, rule: Shutdown, begun: Instant) -> Stopped {
    match rule {
        Shutdown::BrutalKill => return Stopped::Brutally,
        Shutdown::Infinity => return Stopped::InTime,
        Shutdown::Timeout(_) if child.handle.is_finished() => return Stopped::InTime,
        Shutdown::Timeout(_) => {}
    }
    // The handle is awaited by reference: after a time-out it is awaited again.
    match timeout(limit(rule).saturating_sub(begun.elapsed()), &mut child.handle).await {
        Ok(end) => {
            drop_contained("the end of an actor", end);
            Stopped::InTime
        }
        Err(_) => {
            child.actor.kill();
            Stopped::Killed
        }
    }
}

/// Returns when a child that is ending by itself is gone.
pub(crate) async fn gone(mut child: Started) {
    // A handle that has given its result must not be awaited again.
    if !child.handle.is_finished()
        && let Err(error) = (&mut child.handle).await
    {
        // A task that was aborted, or panicked, is as gone as any other.
        drop_contained("the end of an actor", error);
    }
    subtree_gone(child.subtree.take()).await;
    // Messages that arrived as it ended are dropped with the last reference to it.
    drop_contained("a child that is gone", child);
}

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

/// The last one first, as in [`stop_together`].
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

/// Returns when a subtree is gone whose members have all been asked to end.
///
/// Bounded, since an actor that its own code has unlinked was not asked: it is left behind, with a warning.
pub(crate) async fn subtree_gone(subtree: Option<Gone>) {
    let Some(subtree) = subtree else { return };
    let limit = subtree.limits().subtree_end;
    if timeout(limit, subtree.wait()).await.is_err() {
        report(|| {
            tracing::warn!(?limit, "an actor outlives the supervisor that it was started under; was it unlinked?");
        });
    }
}
