//! The delays before restarts.

use foldhash::HashMap;
use futures::future::FutureExt;
use ractor::ActorRef;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::containment::{ContainedFuture, report};
use crate::supervisor::client::ServerMsg;
use crate::supervisor::error::NameFree;
use crate::supervisor::key::Key;

/// A delay under way; its end is not reported if this is dropped.
struct DelayTask {
    number: u64,
    _task: AbortOnDropHandle<()>,
}

/// The delays under way, one of a child at most.
#[derive(Default)]
pub(super) struct Delays(HashMap<Key, DelayTask>);

impl Delays {
    /// Starts a delay. At most one of a child counts; this one replaces any other.
    pub(super) fn start(&mut self, myself: &ActorRef<ServerMsg>, key: Key, number: u64, until: Instant) {
        let supervisor = myself.clone();
        #[expect(clippy::disallowed_methods, reason = "a backoff is a delay, and nothing else")]
        let task = tokio::spawn(async move {
            tokio::time::sleep_until(until).await;
            let _ = supervisor.send_message(ServerMsg::DelayOver(key, number));
        });
        self.0.insert(key, DelayTask { number, _task: AbortOnDropHandle::new(task) });
    }

    /// Waits for a child's name, as for the end of a delay.
    pub(super) fn await_name(&mut self, myself: &ActorRef<ServerMsg>, key: Key, number: u64, free: &NameFree) {
        let (supervisor, free) = (myself.clone(), free.clone());
        let free = ContainedFuture::new("the wait for a name", async move { free.wait().await }.boxed());
        let task = tokio::spawn(async move {
            match free.await {
                Ok(()) => drop(supervisor.send_message(ServerMsg::DelayOver(key, number))),
                Err(panic) => report(|| tracing::warn!(%panic, "the wait for a name panicked: its child stays away")),
            }
        });
        self.0.insert(key, DelayTask { number, _task: AbortOnDropHandle::new(task) });
    }

    /// Forgets a delay that has passed, unless another has replaced it.
    pub(super) fn over(&mut self, key: Key, number: u64) {
        if self.0.get(&key).is_some_and(|delay| delay.number == number) {
            self.0.remove(&key);
        }
    }

    pub(super) fn forget(&mut self, key: Key) {
        self.0.remove(&key);
    }
}
