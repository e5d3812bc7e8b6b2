//! The names of actors that were started elsewhere: who has to give which name back when it ends.
//!
//! Not a second table: a lease is held here on behalf of an actor that cannot hold it itself.
//!
//! 1. An actor is monitored for as long as it has a lease here: both change under one lock, or a name that comes while
//!    another goes would be left without a monitor.
//! 2. Leases are dropped outside that lock: the last share of a lease wakes waiters.

use std::sync::Arc;

use foldhash::HashMap;
use parking_lot::Mutex;
use ractor::{ActorCell, ActorId};

use super::holder::{Holder, Standing};
use super::lease::Lease;

#[derive(Default)]
pub(crate) struct ForeignLeases(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_actor: HashMap<ActorId, Vec<Arc<Lease>>>,
    /// At how many actors to look for those of whose end nobody told.
    sweep_at: usize,
}

/// So few actors are not worth a sweep.
const SWEPT: usize = 64;

impl ForeignLeases {
    /// Keeps a lease until `registry`, which monitors the actor from now on, hears of its end.
    pub(crate) fn keep(&self, registry: &ActorCell, actor: &ActorCell, lease: Arc<Lease>) {
        let mut kept = self.0.lock();
        let swept = kept.sweep();
        kept.by_actor.entry(actor.get_id()).or_default().push(lease);
        registry.monitor(actor.clone());
        drop(kept);
        drop(swept);
    }

    /// Gives one name of an actor back, and stops monitoring the actor if it has no other.
    pub(crate) fn give_back(&self, registry: &ActorCell, actor: &ActorCell, holder: &Arc<Holder>) {
        let mut kept = self.0.lock();
        let Some(leases) = kept.by_actor.get_mut(&actor.get_id()) else { return };
        let given_back: Vec<_> = leases.extract_if(.., |lease| Arc::ptr_eq(lease.holder(), holder)).collect();
        if leases.is_empty() {
            kept.by_actor.remove(&actor.get_id());
            registry.unmonitor(actor.clone());
        }
        drop(kept);
        drop(given_back);
    }

    /// Gives all names of an actor back that has ended.
    pub(crate) fn ended(&self, actor: ActorId) {
        let leases = self.0.lock().by_actor.remove(&actor);
        drop(leases);
    }
}

impl Kept {
    /// Takes out those who are gone. ractor tells nobody of an actor that ends before it has started, so they are looked
    /// for whenever their number may have doubled.
    fn sweep(&mut self) -> Vec<(ActorId, Vec<Arc<Lease>>)> {
        if self.by_actor.len() < self.sweep_at.max(SWEPT) {
            return Vec::new();
        }
        let is_gone = |leases: &[Arc<Lease>]| leases.iter().all(|lease| lease.holder().standing() == Standing::Gone);
        let swept = self.by_actor.extract_if(|_, leases| is_gone(leases)).collect();
        self.sweep_at = 2 * self.by_actor.len();
        swept
    }
}
