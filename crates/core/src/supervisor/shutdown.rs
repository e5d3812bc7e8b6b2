//! Stopping one actor, and knowing that it is gone.

use std::time::Duration;

use ractor::ActorCell;
use tokio::time::timeout;

use super::child_spec::Shutdown;
use super::group::Gone;
use super::report::Stopped;
use super::started::Started;
use crate::exit::SHUTDOWN;

/// Stops a child by its rule and returns when it is gone: its task has ended, its state and handler are dropped, and of a
/// supervisor the whole subtree.
pub(crate) async fn stop(mut child: Started, rule: Shutdown) -> Stopped {
    let how = ask(&mut child, rule).await;
    gone(child).await;
    how
}

async fn ask(child: &mut Started, rule: Shutdown) -> Stopped {
    let limit = match rule {
        Shutdown::BrutalKill => {
            child.actor.kill();
            return Stopped::Brutally;
        }
        Shutdown::Infinity => None,
        Shutdown::Timeout(limit) => Some(limit),
    };
    if let Some(asked) = &child.asked {
        asked.cancel();
    }
    child.actor.stop(Some(SHUTDOWN.to_owned()));
    match limit {
        // The handle is awaited by reference: after a time-out it is awaited again.
        Some(limit) if timeout(limit, &mut child.handle).await.is_err() => {
            child.actor.kill();
            Stopped::Killed
        }
        _ => Stopped::InTime,
    }
}

/// Returns when a child that is ending by itself is gone.
pub(crate) async fn gone(mut child: Started) {
    // A handle that has given its result must not be awaited again.
    if !child.handle.is_finished() {
        // An aborted task is as gone as any other.
        let _ = (&mut child.handle).await;
    }
    subtree_gone(child.subtree).await;
}

/// Stops an actor of which nobody holds the task: by ractor's own word for its end.
pub(crate) async fn stop_stray(actor: ActorCell, limit: Duration) -> Stopped {
    actor.stop(Some(SHUTDOWN.to_owned()));
    match timeout(limit, actor.wait(None)).await {
        Ok(_) => Stopped::InTime,
        Err(_) => {
            actor.kill();
            let _ = actor.wait(None).await;
            Stopped::Killed
        }
    }
}

/// How long a subtree may take to be gone after its supervisor is.
const SUBTREE_LIMIT: Duration = Duration::from_secs(10);

/// Returns when a subtree is gone, all of whose members have been told to end.
///
/// Bounded, since an actor that its own code has unlinked was told nothing: it is left behind, with a warning.
pub(crate) async fn subtree_gone(subtree: Option<Gone>) {
    let Some(subtree) = subtree else { return };
    if timeout(SUBTREE_LIMIT, subtree.wait()).await.is_err() {
        tracing::warn!(limit = ?SUBTREE_LIMIT, "an actor outlives the supervisor that it was started under; was it unlinked?");
    }
}
