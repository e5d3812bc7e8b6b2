//! The names of one namespace.
//!
//! 1. A name has at most one holder.
//! 2. A holder comes in by a claim: of a free name, or of one whose foreign holder is gone.
//! 3. A holder goes out by its own lease, or by `unregister`; each removes this holder and no other.
//! 4. A holder is retired before it goes out, and is never un-retired: who has seen it retired looks again.
//! 5. Readers see only holders that are filled, not retired, and whose actor takes messages.
//! 6. Whoever waits for a name is woken after each change of it, in this order: change, then wake.
//! 7. A table that is closed takes no name. Whoever makes a name visible looks afterwards whether the table is closed, and
//!    whoever closes it looks afterwards which names there are: one of them sees the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Instant;

use ractor::{ActorCell, Message};
use scc::{Guard, HashIndex, hash_index::Entry};
use tokio::sync::Notify;

use super::counters::Counters;
use super::holder::{Holder, Standing};
use super::wait::Waiters;
use crate::namespace::{Namespace, ServiceName};

pub(crate) struct Table {
    namespace: Namespace,
    names: HashIndex<ServiceName, Arc<Holder>, foldhash::fast::RandomState>,
    waiters: Waiters,
    counters: Counters,
    closed: AtomicBool,
    closing: Notify,
}

/// Why a lookup found nothing to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Miss {
    Absent,
    /// The holder answers to this type and no other.
    WrongType(&'static str),
}

/// The answer to one try to take a name.
pub(crate) enum Attempt {
    Taken,
    Held(Arc<Holder>),
    Leaving(Arc<Holder>),
    Closed,
}

impl Table {
    pub(crate) fn new(namespace: Namespace) -> Self {
        Self {
            namespace,
            // Room for one name is never given back: or each that comes into an empty table would allocate it anew.
            names: HashIndex::with_capacity_and_hasher(1, foldhash::fast::RandomState::default()),
            waiters: Waiters::default(),
            counters: Counters::default(),
            closed: AtomicBool::new(false),
            closing: Notify::new(),
        }
    }

    pub(crate) fn namespace(&self) -> Namespace {
        self.namespace
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    // ---- readers: no lock, no write to anything shared ----

    /// Borrows the live actor of this name that answers to `M`.
    #[inline]
    pub(crate) fn with<M: Message, R>(&self, name: &str, read: impl FnOnce(&ActorCell) -> R) -> Result<R, Miss> {
        self.with_holder::<M, R>(name, |_, actor| read(actor))
    }

    #[inline]
    pub(crate) fn with_holder<M: Message, R>(
        &self,
        name: &str,
        read: impl FnOnce(&Arc<Holder>, &ActorCell) -> R,
    ) -> Result<R, Miss> {
        if self.counters.looked_up() { self.find_timed::<M, R>(name, read) } else { self.find::<M, R>(name, read) }
    }

    /// What `read` does with the actor is not part of the look-up.
    #[cold]
    fn find_timed<M: Message, R>(
        &self,
        name: &str,
        read: impl FnOnce(&Arc<Holder>, &ActorCell) -> R,
    ) -> Result<R, Miss> {
        let begun = Instant::now();
        self.find::<M, R>(name, |holder, actor| {
            self.counters.found_since(begun);
            read(holder, actor)
        })
    }

    #[inline]
    fn find<M: Message, R>(&self, name: &str, read: impl FnOnce(&Arc<Holder>, &ActorCell) -> R) -> Result<R, Miss> {
        let found = self.names.peek_with(name, |_, holder| match holder.live() {
            Some(actor) if holder.answers_to::<M>() => Ok(read(holder, actor)),
            Some(_) => Err(Miss::WrongType(holder.message())),
            None => Err(Miss::Absent),
        });
        found.unwrap_or(Err(Miss::Absent)).inspect_err(|_| self.counters.missed())
    }

    /// The holder of a name, whatever its standing. Not counted as a lookup.
    pub(crate) fn holder(&self, name: &str) -> Option<Arc<Holder>> {
        self.names.peek_with(name, |_, holder| Arc::clone(holder))
    }

    /// All holders, in no order; cost: linear in what this namespace holds.
    pub(crate) fn holders(&self) -> Vec<Arc<Holder>> {
        let guard = Guard::new();
        self.names.iter(&guard).map(|(_, holder)| Arc::clone(holder)).collect()
    }

    /// At most so many names that have a live actor, in no order.
    pub(crate) fn live_names(&self, limit: usize) -> Vec<ServiceName> {
        let guard = Guard::new();
        let live = self.names.iter(&guard).take(limit).filter(|(_, holder)| holder.live().is_some());
        live.map(|(name, _)| name.clone()).collect()
    }

    /// How many names there are, those of the leaving included; constant cost, exact when nobody writes.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// An estimate of the memory for names, without the actors themselves.
    pub(crate) fn bytes(&self) -> usize {
        let entry = size_of::<(ServiceName, Arc<Holder>)>() + 2;
        size_of::<Self>() + self.names.capacity() * entry + self.names.len() * (size_of::<Holder>() + 16)
    }

    // ---- writers ----

    /// Tries to take a name for this holder.
    pub(crate) fn attempt(&self, new: &Arc<Holder>) -> Attempt {
        if self.is_closed() {
            return Attempt::Closed;
        }
        let mut entry = match self.names.entry_sync(new.name().clone()) {
            Entry::Vacant(entry) => {
                entry.insert_entry(Arc::clone(new));
                return Attempt::Taken;
            }
            Entry::Occupied(entry) => entry,
        };
        let current = Arc::clone(entry.get());
        match current.standing() {
            Standing::Living => Attempt::Held(current),
            Standing::Leaving => Attempt::Leaving(current),
            Standing::Gone => {
                self.retire(&current);
                entry.update(Arc::clone(new));
                Attempt::Taken
            }
        }
    }

    /// Makes a claimed name visible; false if the table has been closed meanwhile.
    pub(crate) fn publish(&self, holder: &Holder, actor: ActorCell) -> bool {
        let (namespace, service, id) = (self.namespace, holder.name(), actor.get_id());
        holder.begin(actor);
        self.counters.registered();
        self.waiters.wake(service.as_str());
        tracing::debug!(%namespace, %service, actor = %id, "service registered");
        fence(Ordering::SeqCst);
        !self.is_closed()
    }

    /// Gives a name back, if this holder still has it; true if it did.
    pub(crate) fn release(&self, holder: &Arc<Holder>) -> bool {
        if !self.retire(holder) {
            return false;
        }
        let (namespace, service) = (self.namespace, holder.name());
        self.names.remove_if_sync(service.as_str(), |current| Arc::ptr_eq(current, holder));
        self.waiters.wake(service.as_str());
        if let Some(actor) = holder.actor_id() {
            tracing::debug!(%namespace, %service, %actor, "service released");
        }
        true
    }

    fn retire(&self, holder: &Holder) -> bool {
        let first = holder.retire();
        // A claim that came to nothing was never registered.
        if first && holder.actor().is_some() {
            self.counters.released();
        }
        first
    }

    /// Takes no more names.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        self.closing.notify_waiters();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Returns when the table takes no more names.
    pub(crate) async fn closed(&self) {
        // First the ear, then the eye.
        let closing = self.closing.notified();
        if !self.is_closed() {
            closing.await;
        }
    }
}
