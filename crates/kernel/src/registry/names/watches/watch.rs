//! Watching the names of a namespace.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::Stream;
use scc::Guard;
use tokio::task::coop::poll_proceed;

use super::{End, Fact, FactInbox, Found, NameFact};
use crate::exit::ExitReason;
use crate::namespace::ServiceName;
use crate::registry::names::change::NameChange;
use crate::registry::names::holder::{Holder, Incarnation, NameIncarnation, Registration};
use crate::registry::names::metadata::Metadata;
use crate::registry::names::table::Table;

#[cfg(test)]
#[path = "views.rs"]
mod views;

/// How many changes are kept for a slow reader.
const CAPACITY: usize = 1_024;

/// An item of a [`Watch`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Watched {
    /// The current registrations, sorted by name; the first item of a watch.
    Snapshot(Vec<Registration>),
    /// The reader was too slow: so many changes or more were dropped, and this is the current state. The changes go on
    /// from here; earlier state is obsolete.
    Lagged {
        /// How many facts were dropped, of which each could have been a change.
        missed: u64,
        /// As in [`Snapshot`](Self::Snapshot).
        snapshot: Vec<Registration>,
    },
    /// Something has changed since.
    Change(NameChange),
}

/// The current names of a namespace, and then each change of them. Elixir's listeners of a `Registry`, as a stream.
///
/// The first item is a snapshot; the changes go on from it with neither gap nor duplicate. They come in the order in
/// which they happened, for each name strictly. Across names all watches of a namespace show the same order, and a
/// change that was finished before another began comes before it; but a death comes when its reason is known, which may
/// be after later changes of other names. [`ends_at_once`](Watch::ends_at_once) shows it earlier.
///
/// Watches of all names are notified in the order in which they were made, and before those of one name: what a watch has
/// shown, an earlier one can show as well.
///
/// No writer ever waits for a reader. For a slow reader [`capacity`](Watch::capacity) facts are kept; beyond that they
/// are dropped, and the reader gets a fresh snapshot with [`Watched::Lagged`]. Changes are reported after they have
/// been made: a lookup finds a name that was shown, unless it has ended meanwhile.
///
/// It ends when the namespace does. Dropped, it is gone at once.
///
/// A watch costs its reader a map of the names that it knows, and a writer one lock and a push for each watch. Without
/// a watch a writer pays one read of a number, and a lookup never pays anything. The first watch of a name has the
/// process registry monitor its actor, in order to report why it ended.
///
/// ```
/// use foundation_kernel::names::{NameChange, Namespace, ProcessRegistry, ServiceKey, Watched};
/// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
/// # struct Clerk;
/// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
/// # impl Actor for Clerk {
/// #     type Msg = u64; type State = (); type Arguments = ();
/// #     async fn pre_start(&self, _: ActorRef<u64>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
/// # }
/// const CLERK: ServiceKey<u64> = ServiceKey::from_static("clerk");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let registry = ProcessRegistry::start().await?;
/// let names = registry.namespace(Namespace::test()).await?;
/// let mut watch = names.watch();
/// assert_eq!(watch.next().await, Some(Watched::Snapshot(Vec::new())));
///
/// let clerk = names.spawn(&CLERK, Clerk, ()).await?;
/// let Some(Watched::Change(NameChange::Registered(service))) = watch.next().await else { panic!() };
/// assert_eq!(service.actor, clerk.get_id());
///
/// clerk.kill();
/// let Some(Watched::Change(died)) = watch.next().await else { panic!() };
/// assert!(died.to_string().ends_with("ended: killed"));
///
/// registry.shutdown().await;
/// assert_eq!(watch.next().await, None);
/// # Ok(())
/// # }
/// ```
#[must_use = "a watch that is dropped sees nothing"]
pub struct Watch {
    table: Arc<Table>,
    /// The name that it watches; all of them if there is none.
    name: Option<ServiceName>,
    inbox: Arc<FactInbox>,
    view: View<Incarnation>,
    unshown: VecDeque<Watched>,
    /// The revision of the inbox that has been read to its end.
    read: u64,
    over: bool,
}

/// Why [`Watch::try_next`] gives no item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TryNextError {
    /// Nothing has changed since the last item.
    #[error("nothing has changed since the last item of the watch")]
    Empty,
    /// The namespace has ended.
    #[error("the watch is over, since the namespace has ended")]
    Ended,
}

/// A number that grows with each change that a [`Watch`] is notified of, for readers that share one.
///
/// Readers that share a watch under a lock note the revision, then read the watch until it is empty. Another one takes
/// the lock only if the revision has grown since. Costs one relaxed load; who has been notified of a change in another
/// way, for example by the return of its own registration, sees at least the revision of this change.
#[derive(Clone)]
pub struct WatchRevision(Arc<FactInbox>);

impl WatchRevision {
    /// The present revision.
    pub fn get(&self) -> u64 {
        self.0.revision()
    }
}

impl std::fmt::Debug for WatchRevision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WatchRevision({})", self.get())
    }
}

/// What may run foreign code when it is dropped, left over by [`Watch::try_next`].
///
/// Reading a watch that has lagged reads the table of names, which may release an actor that has ended, and with it the
/// messages that the actor has not read. Their destructors run when this value is dropped. So make one before a lock is
/// taken, and drop it after the lock is released: the reverse order of declaration does that.
pub struct DeferredDrops {
    holders: Vec<Arc<Holder>>,
    // While there is one, the map of names releases nothing on this thread.
    _guard: Guard,
}

impl DeferredDrops {
    /// Begins with nothing.
    pub fn new() -> Self {
        Self { holders: Vec::new(), _guard: Guard::new() }
    }
}

impl Default for DeferredDrops {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for DeferredDrops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeferredDrops").field("actors", &self.holders.len()).finish()
    }
}

impl Watch {
    pub(crate) fn new(table: Arc<Table>, name: Option<ServiceName>) -> Self {
        // Subscribe before reading: a change between the two is noticed.
        let inbox = table.watches().enter(name.as_ref(), CAPACITY);
        let holders = table.snapshot(name.as_ref());
        let view = View::of(&holders);
        // Earlier watches are not behind what this one shows.
        table.watches().report_beginnings(&holders);
        let unshown = VecDeque::from([Watched::Snapshot(view.snapshot())]);
        Self { table, name, inbox, view, unshown, read: 0, over: false }
    }

    /// Keeps this many unread changes, at least 1, before the reader counts as slow. Default: 1,024.
    pub fn capacity(self, changes: usize) -> Self {
        self.inbox.set_capacity(changes);
        self
    }

    /// Shows an end at once, without its reason if that is not known yet. Default: the end of a name waits for its reason,
    /// and later changes of that name wait behind it.
    ///
    /// For a reader to which the current names matter more than why earlier ones ended: a registration that has returned
    /// can be read, also that of a name that was taken again.
    pub fn ends_at_once(mut self) -> Self {
        self.view.ends_at_once = true;
        self
    }

    /// The next item; `None` when the namespace has ended. This method is cancel safe.
    pub async fn next(&mut self) -> Option<Watched> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Watched>> {
        // A reader with many changes does not keep its thread from other tasks.
        let turn = ready!(poll_proceed(context));
        let shown = self.show(context);
        if shown.is_ready() {
            turn.made_progress();
        }
        shown
    }

    fn show(&mut self, context: &Context<'_>) -> Poll<Option<Watched>> {
        loop {
            if let Some(shown) = self.unshown() {
                return Poll::Ready(shown);
            }
            let revision = self.inbox.revision();
            match self.inbox.take(context) {
                Found::Nothing => {
                    self.read = revision;
                    return Poll::Pending;
                }
                found => {
                    let mut looked_at = Vec::new();
                    self.take_in(found, &mut looked_at);
                    if !looked_at.is_empty() {
                        self.table.watches().report_beginnings(&looked_at);
                    }
                }
            }
        }
    }

    /// The next item if it can be given at once. No task is woken later, and no budget of the caller's task is used.
    ///
    /// Nothing foreign runs here: call it under a lock, and drop `deferred` after the lock is released.
    ///
    /// ```
    /// # use foundation_kernel::names::{DeferredDrops, Namespace, ProcessRegistry, TryNextError, Watched};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let registry = ProcessRegistry::start().await?;
    /// # let names = registry.namespace(Namespace::test()).await?;
    /// let watch = std::sync::Mutex::new(names.watch());
    /// let mut deferred = DeferredDrops::new();
    /// let mut watch = watch.lock().unwrap();
    /// assert!(watch.has_unread());
    /// assert_eq!(watch.try_next(&mut deferred), Ok(Watched::Snapshot(Vec::new())));
    /// assert_eq!(watch.try_next(&mut deferred), Err(TryNextError::Empty));
    /// assert!(!watch.has_unread());
    /// # drop(watch);
    /// # drop(deferred);
    /// # registry.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TryNextError`] says why there is none.
    pub fn try_next(&mut self, deferred: &mut DeferredDrops) -> Result<Watched, TryNextError> {
        loop {
            if let Some(shown) = self.unshown() {
                return shown.ok_or(TryNextError::Ended);
            }
            let revision = self.inbox.revision();
            match self.inbox.try_take() {
                Found::Nothing => {
                    self.read = revision;
                    return Err(TryNextError::Empty);
                }
                found => self.take_in(found, &mut deferred.holders),
            }
        }
    }

    /// Whether there may be an item that has not been read, or the end. False is certain, as far as the caller has been
    /// notified of changes in another way. Costs one relaxed load.
    pub fn has_unread(&self) -> bool {
        !self.unshown.is_empty() || (!self.over && self.inbox.revision() != self.read)
    }

    /// A number that grows with each change, for readers that share this watch.
    pub fn revision(&self) -> WatchRevision {
        WatchRevision(Arc::clone(&self.inbox))
    }

    /// What can be shown without reading the inbox: an item, or the end.
    fn unshown(&mut self) -> Option<Option<Watched>> {
        match self.unshown.pop_front() {
            None if !self.over => None,
            item => Some(item),
        }
    }

    /// The holders that have been looked at are left to the caller, which may have to release a lock before.
    fn take_in(&mut self, found: Found<NameFact>, looked_at: &mut Vec<Arc<Holder>>) {
        let unshown = &mut self.unshown;
        let mut show = |change| unshown.push_back(Watched::Change(change));
        match found {
            Found::Fact(fact) => self.view.apply(fact, &mut show),
            Found::Missed(missed) => {
                let holders = self.table.snapshot(self.name.as_ref());
                self.view = View { ends_at_once: self.view.ends_at_once, ..View::of(&holders) };
                looked_at.extend(holders);
                self.unshown.push_back(Watched::Lagged { missed, snapshot: self.view.snapshot() });
            }
            Found::Closed => {
                self.view.close(&mut show);
                self.over = true;
            }
            Found::Nothing => {}
        }
    }
}

impl Stream for Watch {
    type Item = Watched;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Watched>> {
        self.poll(context)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.table.watches().leave(self.name.as_ref(), &self.inbox);
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = self.name.as_ref().map_or("all names", ServiceName::as_str);
        write!(f, "Watch({what} in {})", self.table.namespace())
    }
}

/// The state of one watch: facts go in as they arrive, changes come out as they are to be shown.
///
/// Facts of one name come in the order in which they happened, with three exceptions that are corrected here:
///
/// 1. The view begins with a snapshot of the table that may be ahead of the facts: what it has already is not reported
///    again.
/// 2. An end may be reported twice; the second is dropped, like each fact that is not of the current incarnation.
/// 3. The reason of an end may be known before the name is free or after. If it is certain to come, the end waits for
///    it, and later facts of this name wait behind. If it was reported before this view knew the incarnation, it is not
///    reported again: the incarnation itself has it then.
///
/// A view of ends at once waits for no reason: one that comes later is of no current incarnation, and is dropped.
struct View<L> {
    names: HashMap<ServiceName, NameState<L>>,
    ends_at_once: bool,
}

enum NameState<L> {
    Held(Held<L>),
    /// Free, but the reason is still to come; with the facts since.
    AwaitingReason(Held<L>, Vec<Fact<L>>),
}

struct Held<L> {
    life: L,
    shown: Registration,
    version: Option<u64>,
    reason: Option<ExitReason>,
}

impl<L: NameIncarnation> Held<L> {
    fn new(life: L, metadata: Option<(u64, Metadata)>) -> Self {
        let (version, metadata) = metadata.unzip();
        let (shown, reason) = (life.registration(metadata), life.reason());
        Self { life, shown, version, reason }
    }

    fn is_news(&self, life: &L, version: u64) -> bool {
        life.is(&self.life) && self.version < Some(version)
    }

    fn died(self, reason: Option<ExitReason>) -> NameChange {
        NameChange::Died { name: self.shown.name, actor: self.shown.actor, reason }
    }
}

impl View<Incarnation> {
    /// Begins with the holders of a snapshot of the table.
    fn of(holders: &[Arc<Holder>]) -> Self {
        Self::new(holders.iter().filter_map(|holder| Some((Incarnation::of(holder)?, holder.metadata()))))
    }
}

impl<L: NameIncarnation> View<L> {
    /// Begins with the incarnations of a snapshot, with their metadata.
    fn new(lives: impl IntoIterator<Item = (L, Option<(u64, Metadata)>)>) -> Self {
        let held = lives.into_iter().map(|(life, metadata)| Held::new(life, metadata));
        let names = held.map(|held| (held.shown.name.clone(), NameState::Held(held))).collect();
        Self { names, ends_at_once: false }
    }

    /// The current registrations, sorted by name.
    fn snapshot(&self) -> Vec<Registration> {
        let mut shown: Vec<_> = self.names.values().map(|named| named.held().shown.clone()).collect();
        shown.sort_by(|a, b| a.name.cmp(&b.name));
        shown
    }

    /// Takes a fact in.
    fn apply(&mut self, fact: Fact<L>, emit: &mut impl FnMut(NameChange)) {
        match self.names.get_mut(fact.name()) {
            None => self.apply_to_free(fact, emit),
            Some(NameState::Held(_)) => self.apply_to_held(fact, emit),
            Some(NameState::AwaitingReason(held, later)) => match fact {
                Fact::Reason(life, reason) if life.is(&held.life) => self.report_death(life.name(), Some(reason), emit),
                Fact::Ended(life, _) if life.is(&held.life) => {}
                fact => later.push(fact),
            },
        }
    }

    /// No more facts will come: reports the ends that wait for a reason.
    fn close(&mut self, emit: &mut impl FnMut(NameChange)) {
        loop {
            let awaiting = self.names.iter().find(|(_, named)| matches!(named, NameState::AwaitingReason(..)));
            let Some(name) = awaiting.map(|(name, _)| name.clone()) else { return };
            self.report_death(&name, None, emit);
        }
    }

    /// A fact of a free name: only a new holder is a change.
    fn apply_to_free(&mut self, fact: Fact<L>, emit: &mut impl FnMut(NameChange)) {
        let (Fact::Visible(life, metadata) | Fact::HandedOver { to: life, metadata, .. }) = fact else { return };
        let held = Held::new(life, metadata);
        let by = held.shown.clone();
        emit(match held.life.previous() {
            Some(previous) => NameChange::Replaced { previous, by },
            None => NameChange::Registered(by),
        });
        self.names.insert(held.shown.name.clone(), NameState::Held(held));
    }

    /// A fact of a held name: facts of other incarnations are old.
    fn apply_to_held(&mut self, fact: Fact<L>, emit: &mut impl FnMut(NameChange)) {
        let awaits_reason = !self.ends_at_once;
        let Entry::Occupied(mut entry) = self.names.entry(fact.name().clone()) else { return };
        let NameState::Held(held) = entry.get_mut() else { return };
        match fact {
            Fact::Described(life, Some((version, metadata))) if held.is_news(&life, version) => {
                held.version = Some(version);
                held.shown.metadata = Some(metadata);
                emit(NameChange::Updated(held.shown.clone()));
            }
            Fact::Reason(life, reason) if life.is(&held.life) => held.reason = Some(reason),
            Fact::HandedOver { from, to, metadata } if from.is(&held.life) => {
                let next = Held::new(to, metadata);
                emit(NameChange::HandedOver { from: held.shown.actor, to: next.shown.clone() });
                *held = next;
            }
            Fact::Ended(life, end) if life.is(&held.life) => {
                let (name, NameState::Held(held)) = entry.remove_entry() else { return };
                match (end, held.reason.clone()) {
                    (End::TakenAway, _) => emit(NameChange::Unregistered { name, actor: held.shown.actor }),
                    (End::ReasonToCome, None) if awaits_reason => {
                        drop(self.names.insert(name, NameState::AwaitingReason(held, Vec::new())))
                    }
                    (_, reason) => emit(held.died(reason)),
                }
            }
            _ => {}
        }
    }

    /// Reports the end that has waited for this reason, and continues with the facts since.
    fn report_death(&mut self, name: &ServiceName, reason: Option<ExitReason>, emit: &mut impl FnMut(NameChange)) {
        let Some(NameState::AwaitingReason(held, later)) = self.names.remove(name) else { return };
        emit(held.died(reason));
        for fact in later {
            self.apply(fact, emit);
        }
    }
}

impl<L> NameState<L> {
    fn held(&self) -> &Held<L> {
        match self {
            Self::Held(held) | Self::AwaitingReason(held, _) => held,
        }
    }
}
