//! The names of one namespace, and the guards of them.
//!
//! 1. A name has at most one holder.
//! 2. A holder is added by a claim: of a free name, or of one whose foreign holder is gone.
//! 3. A holder is removed by its own name guard, or by `unregister`; each removes this holder and no other.
//! 4. A holder is retired before it is removed and never becomes current again; a reader that sees a retired holder
//!    retries. One that hands its name over is retired just after, so that the name always has a holder.
//! 5. Readers see only holders that are filled, not retired, and whose actor takes messages.
//! 6. Waiters are woken after each change of a name, in this order: change, then wake.
//! 7. A closed table takes no name. A writer that makes a name visible checks afterwards whether the table is closed,
//!    and a close reads the names afterwards: one of them sees the other.
//! 8. Watches are notified of an end between the retirement and the removal, so before the next holder can begin.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use ractor::{ActorCell, ActorId, ActorStatus};
use scc::{Guard, HashIndex, hash_index::Entry};
use tokio::time::{self, timeout_at};

use super::counters::{Counted, Counters};
use super::holder::{Holder, LookupError, Standing};
use super::metadata::Metadata;
use super::notifier::{Latch, Waiters};
use super::watches::{End, ExitReasonSource, Watches};
use crate::containment::waking_contained;
use crate::namespace::{Namespace, ServiceName};
use crate::sync::atomic::{AtomicBool, Ordering, fence};

// By its path for `crates/model`, which includes this file.
#[cfg(test)]
#[path = "table/histories.rs"]
mod histories;

pub(crate) struct Table {
    namespace: Namespace,
    names: HashIndex<ServiceName, Arc<Holder>, foldhash::fast::RandomState>,
    waiters: Waiters,
    watches: Arc<Watches>,
    counters: Counters,
    /// Whether a name has ever been handed over: only then a reader that finds no holder has to check again.
    handed_over: AtomicBool,
    closed: Latch,
}

/// Why a name is not handed over.
pub(crate) enum HandOverError {
    Lookup(LookupError),
    /// The actor that is to get it has it.
    HasIt,
    /// The actor that is to get it ends, or has ended.
    Ends,
}

/// Why a name could not be claimed.
pub(crate) enum ClaimError {
    /// Its holder lives.
    Held(Arc<Holder>),
    /// Its holder is leaving, and took too long if it was waited for.
    Leaving(Arc<Holder>),
    /// The namespace takes no more names.
    Closed,
}

impl Table {
    /// A table with a source of exit reasons for its holders.
    pub(crate) fn new(namespace: Namespace, exit_reasons: Weak<dyn ExitReasonSource>) -> Self {
        Self {
            namespace,
            // The room for one name is never released: otherwise each name in an empty table would allocate it anew.
            names: HashIndex::with_capacity_and_hasher(1, foldhash::fast::RandomState::default()),
            waiters: Waiters::default(),
            watches: Arc::new(Watches::new(exit_reasons)),
            counters: Counters::default(),
            handed_over: AtomicBool::new(false),
            closed: Latch::default(),
        }
    }

    pub(crate) fn namespace(&self) -> Namespace {
        self.namespace
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn watches(&self) -> &Arc<Watches> {
        &self.watches
    }

    // ---- readers: no lock, no write to anything shared ----

    /// Borrows the live actor of this name that answers to `M`, with its holder.
    #[inline]
    pub(crate) fn with<M: 'static, R>(
        &self,
        name: &str,
        read: impl FnOnce(&Arc<Holder>, &ActorCell) -> R,
    ) -> Result<R, LookupError> {
        if self.counters.looked_up() { self.find_timed::<M, R>(name, read) } else { self.find::<M, R>(name, read) }
    }

    /// The time of `read` is not part of the lookup.
    #[cold]
    fn find_timed<M: 'static, R>(
        &self,
        name: &str,
        read: impl FnOnce(&Arc<Holder>, &ActorCell) -> R,
    ) -> Result<R, LookupError> {
        let begun = Instant::now();
        self.find::<M, R>(name, |holder, actor| {
            self.counters.found_since(begun);
            read(holder, actor)
        })
    }

    #[inline]
    fn find<M: 'static, R>(
        &self,
        name: &str,
        read: impl FnOnce(&Arc<Holder>, &ActorCell) -> R,
    ) -> Result<R, LookupError> {
        let mut read = Some(read);
        let mut judge = |holder: &Arc<Holder>| {
            let actor = holder.live_as::<M>()?;
            // `read` is still there: after a successful read no further holder is judged.
            read.take().map(|read| read(holder, actor)).ok_or(LookupError::Absent)
        };
        let found = self.names.peek_with(name, |_, holder| judge(holder)).unwrap_or(Err(LookupError::Absent));
        let found = match found {
            Err(LookupError::Absent) if self.handed_over.load(Ordering::Acquire) => self.lookup_locked(name, judge),
            found => found,
        };
        found.inspect_err(|_| self.counters.count(Counted::Miss))
    }

    /// Looks up again under the entry's lock, after its writers: a lock-free reader can miss a name that is handed
    /// over.
    #[cold]
    fn lookup_locked<R>(
        &self,
        name: &str,
        mut judge: impl FnMut(&Arc<Holder>) -> Result<R, LookupError>,
    ) -> Result<R, LookupError> {
        let mut seen: Option<Arc<Holder>> = None;
        loop {
            // The lock is released before the holder is judged: the reader's function may need the lock.
            let holder = self.names.get_sync(name).map(|entry| Arc::clone(entry.get())).ok_or(LookupError::Absent)?;
            let found = judge(&holder);
            let again = seen.replace(Arc::clone(&holder)).is_none_or(|seen| !Arc::ptr_eq(&seen, &holder));
            if !again || !matches!(found, Err(LookupError::Absent)) {
                return found;
            }
        }
    }

    /// The live holder of a name, whatever it answers to. Not counted as a lookup.
    pub(crate) fn live_holder(&self, name: &str) -> Option<Arc<Holder>> {
        let judge = |holder: &Arc<Holder>| holder.live().map(|_| Arc::clone(holder)).ok_or(LookupError::Absent);
        let found = self.names.peek_with(name, |_, holder| judge(holder)).unwrap_or(Err(LookupError::Absent));
        match found {
            Err(_) if self.handed_over.load(Ordering::Acquire) => self.lookup_locked(name, judge).ok(),
            found => found.ok(),
        }
    }

    /// The holder of a name, whatever its standing. Not counted as a lookup.
    pub(crate) fn holder(&self, name: &str) -> Option<Arc<Holder>> {
        let found = self.names.peek_with(name, |_, holder| Arc::clone(holder));
        if found.is_none() && self.handed_over.load(Ordering::Acquire) {
            return self.names.get_sync(name).map(|entry| Arc::clone(entry.get()));
        }
        found
    }

    /// All holders, each once, in no order; cost: sorting them.
    pub(crate) fn holders(&self) -> Vec<Arc<Holder>> {
        let (guard, mut holders) = (Guard::new(), Vec::new());
        self.each(&guard, |holder| holders.push(Arc::clone(holder)));
        // An entry that moves while the table grows may have been seen at both places.
        holders.sort_unstable_by_key(Arc::as_ptr);
        holders.dedup_by(|a, b| Arc::ptr_eq(a, b));
        holders
    }

    /// Shows all holders, in no order; one may be shown twice while the table grows.
    pub(crate) fn each(&self, guard: &Guard, mut show: impl FnMut(&Arc<Holder>)) {
        self.names.iter(guard).for_each(|(_, holder)| show(holder));
    }

    /// The visible holders of all names, or of one, for a watch that has been entered. The reasons of these actors'
    /// ends have been requested.
    pub(crate) fn snapshot(&self, name: Option<&ServiceName>) -> Vec<Arc<Holder>> {
        let mut holders = match name {
            Some(name) => self.holder(name.as_str()).into_iter().collect(),
            None => self.holders(),
        };
        holders.retain(|holder| holder.actor().is_some() && !holder.is_retired());
        holders.iter().for_each(|holder| self.watches.request_reason(holder));
        holders
    }

    /// At most so many names that have a live actor, in no order.
    pub(crate) fn live_names(&self, limit: usize) -> Vec<ServiceName> {
        let guard = Guard::new();
        let live = self.names.iter(&guard).take(limit).filter(|(_, holder)| holder.live().is_some());
        live.map(|(name, _)| name.clone()).collect()
    }

    /// The number of names, those of stopping actors included, and an estimate of the memory for them in bytes, without
    /// the actors themselves. Constant cost; exact when there is no concurrent writer.
    pub(crate) fn size(&self) -> (usize, usize) {
        let (names, entry) = (self.names.len(), size_of::<(ServiceName, Arc<Holder>)>() + 2);
        (names, size_of::<Self>() + self.names.capacity() * entry + names * (size_of::<Holder>() + 16))
    }

    // ---- waiting ----

    /// Waits for a live actor of this name that answers to `M`.
    pub(crate) async fn wait_for_live<M: 'static>(&self, name: &ServiceName) -> Result<ActorCell, LookupError> {
        let listening = self.waiters.listen(name);
        loop {
            // Subscribe before checking: a registration between the two is noticed.
            let change = listening.change();
            match self.with::<M, _>(name.as_str(), |_, actor| actor.clone()) {
                Err(LookupError::Absent) => change.await,
                found => return found,
            }
        }
    }

    /// Returns when this name is free.
    pub(crate) async fn wait_until_free(&self, name: &ServiceName) {
        let listening = self.waiters.listen(name);
        loop {
            // Subscribe before checking: a release between the two is noticed.
            let change = listening.change();
            match self.holder(name.as_str()) {
                Some(holder) if holder.standing() != Standing::Gone => left(&holder, change).await,
                _ => return,
            }
        }
    }

    // ---- writers ----

    /// Tries to take a name for this holder.
    fn attempt(&self, new: &Arc<Holder>) -> Result<(), ClaimError> {
        if self.is_closed() {
            return Err(ClaimError::Closed);
        }
        let mut entry = match self.names.entry_sync(new.name().clone()) {
            Entry::Vacant(entry) => {
                entry.insert_entry(Arc::clone(new));
                return Ok(());
            }
            Entry::Occupied(entry) => entry,
        };
        let current = Arc::clone(entry.get());
        match current.standing() {
            Standing::Living => Err(ClaimError::Held(current)),
            Standing::Leaving => Err(ClaimError::Leaving(current)),
            Standing::Gone => {
                self.retire(&current);
                entry.update(Arc::clone(new));
                // Not under the entry's lock: a hand-over takes the two locks in the other order.
                drop(entry);
                self.watches.report_ended(&current, End::Died);
                Ok(())
            }
        }
    }

    /// Makes a claimed name visible; false if the table has been closed meanwhile.
    fn publish(&self, holder: &Arc<Holder>, actor: ActorCell) -> bool {
        let (namespace, service, id) = (self.namespace, holder.name(), actor.get_id());
        holder.begin(actor);
        self.counters.count(Counted::Registration);
        self.waiters.wake(service.as_str());
        tracing::debug!(%namespace, %service, actor = %id, "service registered");
        fence(Ordering::SeqCst);
        let open = !self.is_closed();
        self.watches.report_visible(holder);
        open
    }

    /// Releases the name of a holder that has ended, if it still has it; true if it did.
    pub(crate) fn release(&self, holder: &Arc<Holder>) -> bool {
        let end = if holder.is_reason_requested() { End::ReasonToCome } else { End::Died };
        self.remove(holder, end)
    }

    /// Removes a name from a holder that lives on, if it still has it; true if it did.
    pub(crate) fn take_away(&self, holder: &Arc<Holder>) -> bool {
        self.remove(holder, End::TakenAway)
    }

    fn remove(&self, holder: &Arc<Holder>, end: End) -> bool {
        if !self.retire(holder) {
            return false;
        }
        self.watches.report_ended(holder, end);
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
        // An unfilled claim was never registered.
        if first && holder.actor().is_some() {
            self.counters.count(Counted::Release);
        }
        first
    }

    /// Hands a name over from its live holder, whose actor must be `from` if that is given, to another live actor; returns
    /// the previous holder. A lookup during a hand-over always finds one of the two holders.
    fn hand_over<M: 'static>(
        &self,
        from: Option<ActorId>,
        new: &Arc<Holder>,
        to: ActorCell,
    ) -> Result<Arc<Holder>, HandOverError> {
        let reports = self.watches.hold();
        let mut entry = self.names.get_sync(new.name().as_str()).ok_or(HandOverError::Lookup(LookupError::Absent))?;
        let old = Arc::clone(entry.get());
        let actor = old.live_as::<M>().map_err(HandOverError::Lookup)?.get_id();
        if from.is_some_and(|from| from != actor) {
            return Err(HandOverError::Lookup(LookupError::Absent));
        }
        if actor == to.get_id() {
            return Err(HandOverError::HasIt);
        }
        // Under the lock of the entry: one that ends after this has had the name, and its end frees it.
        if to.get_status() >= ActorStatus::Draining {
            return Err(HandOverError::Ends);
        }
        // The metadata of a successor's own specification take precedence.
        new.inherit(&old);
        let (namespace, service, actor) = (self.namespace, new.name(), to.get_id());
        new.begin(to);
        self.handed_over.store(true, Ordering::Release);
        entry.update(Arc::clone(new));
        drop(entry);
        self.retire(&old);
        self.counters.count(Counted::Registration);
        reports.report_handed_over(&old, new);
        self.waiters.wake(service.as_str());
        tracing::debug!(%namespace, %service, %actor, "service handed over");
        Ok(old)
    }

    /// Replaces the description that the caller has seen; false if that is no longer the current one.
    pub(crate) fn describe(&self, holder: &Arc<Holder>, seen: Option<u64>, metadata: Metadata) -> bool {
        let reports = self.watches.hold();
        if holder.is_retired() || holder.metadata().map(|(version, _)| version) != seen {
            return false;
        }
        let version = seen.map_or(1, |version| version + 1);
        holder.describe(version, metadata);
        reports.report_described(holder);
        true
    }

    /// Takes no more names.
    pub(crate) fn close(&self) {
        self.closed.set();
        fence(Ordering::SeqCst);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_set()
    }

    /// Returns when the table takes no more names.
    pub(crate) async fn closed(&self) {
        self.closed.wait().await;
    }
}

/// The right to a name. The name is kept while a share of it exists; dropping the last share gives the name back.
///
/// A name guard begins as a claim: the name is taken, but no lookup finds it. [`publish`](NameGuard::publish) fills it.
/// A start that fails or is cancelled drops its shares, and thereby the claim.
pub(crate) struct NameGuard {
    table: Arc<Table>,
    holder: Arc<Holder>,
}

impl NameGuard {
    /// Claims a name, at once if it is free. Refused if its holder lives; otherwise waits for at most `limit` until the
    /// holder has left.
    pub(crate) async fn claim(
        table: &Arc<Table>,
        holder: Arc<Holder>,
        limit: Duration,
    ) -> Result<Arc<Self>, ClaimError> {
        match table.attempt(&holder) {
            // Boxed, since it is rare: otherwise the future of each start would be larger.
            Err(ClaimError::Leaving(_)) => Box::pin(wait_and_attempt(table, &holder, limit)).await?,
            attempt => attempt?,
        }
        Ok(Self::unclaimed(table, holder))
    }

    /// The guard of a name that is to be handed to this holder.
    pub(crate) fn unclaimed(table: &Arc<Table>, holder: Arc<Holder>) -> Arc<Self> {
        Arc::new(Self { table: Arc::clone(table), holder })
    }

    /// Makes the name visible as this actor's; false if the namespace has been closed meanwhile.
    pub(crate) fn publish(&self, actor: ActorCell) -> bool {
        self.table.publish(&self.holder, actor)
    }

    /// Takes the name straight from its live holder for `actor`, which must be `from` if that is given; returns the
    /// previous holder.
    pub(crate) fn take_over<M: 'static>(
        &self,
        from: Option<ActorId>,
        actor: ActorCell,
    ) -> Result<Arc<Holder>, HandOverError> {
        self.table.hand_over::<M>(from, &self.holder, actor)
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

async fn wait_and_attempt(table: &Table, new: &Arc<Holder>, limit: Duration) -> Result<(), ClaimError> {
    let deadline = time::Instant::now() + limit;
    let listening = table.waiters.listen(new.name());
    loop {
        let change = listening.change();
        let leaving = match table.attempt(new) {
            Err(ClaimError::Leaving(leaving)) => leaving,
            attempt => return attempt,
        };
        let (left, closed) = (left(&leaving, change), pin!(table.closed()));
        if waking_contained(timeout_at(deadline, select(pin!(left), closed))).await.is_err() {
            return Err(ClaimError::Leaving(leaving));
        }
    }
}

/// Returns when the name has changed, or its monitored holder has ended: that one has no name guard itself, its own end
/// is the fact to wait for, and the name may change hands before. The caller contains the waking.
async fn left(holder: &Holder, change: impl Future<Output = ()>) {
    match holder.actor() {
        Some(actor) if holder.origin().is_monitored() => {
            let _: Either<_, _> = select(pin!(actor.wait(None)), pin!(change)).await;
        }
        _ => change.await,
    }
}
