//! Claims and guards of names.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use ractor::ActorCell;
use tokio::time::{Instant, timeout_at};

use super::holder::{Holder, Origin};
use super::table::{Attempt, Table};
use super::watches::Watches;
use crate::containment::waking_contained;

/// The right to a name. The name is kept while a share of it exists; dropping the last share gives the name back.
///
/// A name guard begins as a claim: the name is taken, but no lookup finds it. [`publish`](NameGuard::publish) fills it.
/// A start that fails or is cancelled drops its shares, and thereby the claim.
pub(crate) struct NameGuard {
    table: Arc<Table>,
    holder: Arc<Holder>,
}

/// Why a name could not be claimed.
pub(crate) enum ClaimError {
    /// Its holder lives.
    Held(Arc<Holder>),
    /// Its holder is leaving, and took too long.
    StillLeaving(Arc<Holder>),
    /// The namespace takes no more names.
    Closed,
}

impl NameGuard {
    /// Claims a name, at once if it is free. Refused if its holder lives; otherwise waits for at most `limit` until the
    /// holder has left.
    pub(crate) async fn claim(
        table: &Arc<Table>,
        holder: Arc<Holder>,
        limit: Duration,
    ) -> Result<Arc<Self>, ClaimError> {
        let attempt = match table.attempt(&holder) {
            // Boxed, since it is rare: otherwise the future of each start would be larger.
            Attempt::Leaving(_) => Box::pin(wait_and_attempt(table, &holder, limit)).await,
            attempt => attempt,
        };
        match attempt {
            Attempt::Taken => Ok(Arc::new(Self { table: Arc::clone(table), holder })),
            Attempt::Held(other) => Err(ClaimError::Held(other)),
            Attempt::Leaving(other) => Err(ClaimError::StillLeaving(other)),
            Attempt::Closed => Err(ClaimError::Closed),
        }
    }

    /// The guard of a name that is to be handed to this holder.
    pub(crate) fn unclaimed(table: &Arc<Table>, holder: Arc<Holder>) -> Arc<Self> {
        Arc::new(Self { table: Arc::clone(table), holder })
    }

    /// Makes the name visible as this actor's; false if the namespace has been closed meanwhile.
    pub(crate) fn publish(&self, actor: ActorCell) -> bool {
        self.table.publish(&self.holder, actor)
    }

    pub(crate) fn holder(&self) -> &Arc<Holder> {
        &self.holder
    }

    pub(crate) fn watches(&self) -> &Arc<Watches> {
        self.table.watches()
    }
}

impl Drop for NameGuard {
    fn drop(&mut self) {
        self.table.release(&self.holder);
    }
}

async fn wait_and_attempt(table: &Table, new: &Arc<Holder>, limit: Duration) -> Attempt {
    let deadline = Instant::now() + limit;
    let listening = table.waiters().listen(new.name());
    loop {
        let change = listening.change();
        let leaving = match table.attempt(new) {
            Attempt::Leaving(leaving) => leaving,
            attempt => return attempt,
        };
        // A foreign holder has no name guard: its own end is the fact to wait for, and the name may change hands
        // before.
        let left = async {
            match leaving.actor() {
                Some(actor) if leaving.origin() == Origin::Foreign => {
                    let end = std::pin::pin!(actor.wait(None));
                    let _: Either<_, _> = select(end, std::pin::pin!(change)).await;
                }
                _ => change.await,
            }
        };
        let closed = std::pin::pin!(table.closed());
        if waking_contained(timeout_at(deadline, select(std::pin::pin!(left), closed))).await.is_err() {
            return Attempt::Leaving(leaving);
        }
    }
}
