//! The names of actors that were started elsewhere: who has to give which name back when it ends.
//!
//! Not a second table: a lease is held here on behalf of an actor that cannot hold it itself.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use ractor::ActorId;

use super::holder::Holder;
use super::lease::Lease;
use crate::exit::ExitReason;
use crate::supervisor::StrayExits;

#[derive(Default)]
pub(crate) struct ForeignLeases(Mutex<HashMap<ActorId, Vec<Arc<Lease>>>>);

impl ForeignLeases {
    pub(crate) fn keep(&self, actor: ActorId, lease: Arc<Lease>) {
        self.0.lock().entry(actor).or_default().push(lease);
    }

    /// Gives one name back. True if the actor has no other left, so that nobody need watch it any more.
    pub(crate) fn give_back(&self, actor: ActorId, holder: &Arc<Holder>) -> bool {
        let mut leases = self.0.lock();
        let Some(of_actor) = leases.get_mut(&actor) else { return false };
        let given_back: Vec<_> = of_actor.extract_if(.., |lease| Arc::ptr_eq(lease.holder(), holder)).collect();
        let last = of_actor.is_empty();
        if last {
            leases.remove(&actor);
        }
        // The last share of a lease wakes waiters; not under our lock.
        drop(leases);
        drop(given_back);
        last
    }
}

impl StrayExits for ForeignLeases {
    fn ended(&self, actor: ActorId, _reason: &ExitReason) {
        let leases = self.0.lock().remove(&actor);
        // As above: not under our lock.
        drop(leases);
    }
}
