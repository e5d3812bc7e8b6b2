//! The watches of a table's names, and how they are notified.
//!
//! 1. A watch is entered and then reads the table; a writer changes the table and then checks for watches, each with a
//!    fence between the two. So one of them sees the other: there is no gap. There may be a fact that the snapshot has
//!    already; the watch drops it.
//! 2. Facts are reported under one lock, so all watches of a table get them in the same order.
//! 3. An end is reported after readers have ceased to find the holder and before another holder can get the name. The
//!    beginning is reported before it, by the same caller if it has not been yet, and never after. So the facts of a
//!    name come in order.
//! 4. A name is handed over, and described, under that lock: no consequence of it is reported before it.
//! 5. The reason of an end is stored in its holder and then reported, under that lock: entered watches are notified,
//!    and later ones find it stored.
//! 6. Readers are woken, and facts that they will not read are dropped, after that lock is released: a waker may drop
//!    or poll a watch.
//! 7. Facts own no holder: a reader drops nothing foreign. See [`Incarnation`].
//! 8. No writer waits here for a reader, and lookups are not affected.
//! 9. Of two watches of all names, the one that was entered first has each fact first, and also what the snapshot of the
//!    other shows. A watch of one name has it after all of those.
//!
//! Their readers are a module below this one: facts and inboxes are private to the two.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::task::{Context, Waker};

use parking_lot::{Mutex, MutexGuard};

use super::holder::{Holder, Incarnation, NameIncarnation};
use super::metadata::Metadata;
use crate::containment::{drop_contained, wake};
use crate::exit::ExitReason;
use crate::namespace::ServiceName;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

// By its path for `crates/model`, which includes this file.
#[path = "watches/watch.rs"]
pub(super) mod watch;

/// What has happened to an incarnation.
#[derive(Debug, Clone)]
enum Fact<L> {
    /// Readers find it, with these metadata and their version.
    Visible(L, Option<(u64, Metadata)>),
    /// Its metadata has changed.
    Described(L, Option<(u64, Metadata)>),
    /// Its name was handed over to another, which has this metadata.
    HandedOver { from: L, to: L, metadata: Option<(u64, Metadata)> },
    /// Readers no longer find it.
    Ended(L, End),
    /// Why its actor ended.
    Reason(L, ExitReason),
}

/// How a name was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It was taken away; the actor lives.
    TakenAway,
    /// Its actor has ended; the reason has been reported, or will never be.
    Died,
    /// Its actor has ended; the reason will be reported if it has not been yet.
    ReasonToCome,
}

impl<L: NameIncarnation> Fact<L> {
    fn name(&self) -> &ServiceName {
        match self {
            Self::Visible(life, _) | Self::Described(life, _) | Self::HandedOver { to: life, .. } => life.name(),
            Self::Ended(life, _) | Self::Reason(life, _) => life.name(),
        }
    }
}

type NameFact = Fact<Incarnation>;
type After = AfterLock<NameFact>;
type FactInbox = Inbox<NameFact>;

/// A source of the reasons why actors ended.
pub(crate) trait ExitReasonSource: Send + Sync + 'static {
    /// Promises to report to these watches why the actor of this holder ended; false if it cannot.
    fn request(&self, watches: &Arc<Watches>, holder: &Arc<Holder>) -> bool;
}

/// The watches of one table.
pub(crate) struct Watches {
    /// How many there are, so that a writer without watches takes no lock.
    count: AtomicUsize,
    entered: Mutex<Entered>,
    exit_reasons: Weak<dyn ExitReasonSource>,
}

#[derive(Default)]
struct Entered {
    of_all: Vec<Arc<FactInbox>>,
    of_one: HashMap<ServiceName, Vec<Arc<FactInbox>>>,
    closed: bool,
}

impl Watches {
    pub(crate) fn new(exit_reasons: Weak<dyn ExitReasonSource>) -> Self {
        Self { count: AtomicUsize::new(0), entered: Mutex::default(), exit_reasons }
    }

    /// Enters a watch of one name, or of all, that keeps so many facts. The table must be read after this call.
    fn enter(&self, name: Option<&ServiceName>, capacity: usize) -> Arc<FactInbox> {
        let inbox = Arc::new(Inbox::new(capacity));
        let mut entered = self.entered.lock();
        if entered.closed {
            // It has no reader yet, so no task is woken.
            inbox.close(&mut After::default());
            return inbox;
        }
        match name {
            Some(name) => entered.of_one.entry(name.clone()).or_default().push(Arc::clone(&inbox)),
            None => entered.of_all.push(Arc::clone(&inbox)),
        }
        self.count.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        inbox
    }

    fn leave(&self, name: Option<&ServiceName>, inbox: &Arc<FactInbox>) {
        let mut entered = self.entered.lock();
        let left = match name {
            None => remove(&mut entered.of_all, inbox),
            Some(name) => {
                let Some(of_name) = entered.of_one.get_mut(name) else { return };
                let left = remove(of_name, inbox);
                if of_name.is_empty() {
                    entered.of_one.remove(name);
                }
                left
            }
        };
        if left {
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// No name will change any more: ends all watches.
    pub(crate) fn close(&self) {
        let entered = std::mem::replace(&mut *self.entered.lock(), Entered { closed: true, ..Entered::default() });
        self.count.store(0, Ordering::SeqCst);
        let mut after = After::default();
        entered.of_all.iter().chain(entered.of_one.values().flatten()).for_each(|inbox| inbox.close(&mut after));
        after.run();
    }

    /// Whether there may be a watch to notify. The table must be changed before this call, with a fence between.
    fn any(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    // ---- reports of writers ----

    /// After a fence: see [`any`](Self::any).
    pub(crate) fn report_visible(self: &Arc<Self>, holder: &Arc<Holder>) {
        if !self.any() || !self.entered.lock().concern(holder.name()) {
            holder.announce();
            return;
        }
        self.request_reason(holder);
        self.report_with(|entered, after| {
            // A retired holder is left to the reporter of its end: a beginning after that would never end.
            if !holder.is_retired() {
                entered.announce(holder, after);
            }
        });
    }

    pub(crate) fn report_ended(&self, holder: &Arc<Holder>, end: End) {
        fence(Ordering::SeqCst);
        // An unfilled claim was never visible.
        if self.any() && holder.actor().is_some() {
            self.report_with(|entered, after| {
                // Its end may come before the writer that made it visible has reported that.
                entered.announce(holder, after);
                entered.report_of(holder, |life| Fact::Ended(life, end), after);
            });
        }
    }

    /// Reports why the actor of a holder ended, which may be before its name is free or after.
    pub(crate) fn report_reason(&self, holder: &Arc<Holder>, reason: &ExitReason) {
        self.report_with(|entered, after| {
            holder.set_reason(reason.clone());
            entered.report_of(holder, |life| Fact::Reason(life, reason.clone()), after);
        });
    }

    /// Reports the beginnings of these holders that have not been reported yet. After it each watch has what led to them.
    fn report_beginnings(&self, holders: &[Arc<Holder>]) {
        self.report_with(|entered, after| {
            let live = holders.iter().filter(|holder| !holder.is_retired());
            live.for_each(|holder| entered.announce(holder, after));
        });
    }

    /// Reports facts, and runs the foreign code involved after the lock is released.
    fn report_with(&self, write: impl FnOnce(&Entered, &mut After)) {
        self.hold().report_with(write);
    }

    /// Blocks other reports until the changes made under it have been reported.
    pub(crate) fn hold(&self) -> ReportGuard<'_> {
        ReportGuard(self.entered.lock())
    }

    /// Requests the reason of this holder's end, unless that has been done.
    ///
    /// That of an actor that is monitored anyway is reported before its name goes.
    pub(crate) fn request_reason(self: &Arc<Self>, holder: &Arc<Holder>) {
        if holder.origin().is_monitored() || holder.is_reason_requested() {
            return;
        }
        if self.exit_reasons.upgrade().is_some_and(|exit_reasons| exit_reasons.request(self, holder)) {
            holder.set_reason_requested();
        }
    }
}

/// The lock under which facts are reported.
pub(crate) struct ReportGuard<'a>(MutexGuard<'a, Entered>);

impl ReportGuard<'_> {
    pub(crate) fn report_handed_over(self, from: &Arc<Holder>, to: &Arc<Holder>) {
        self.report_with(|entered, after| {
            entered.announce(from, after);
            // The hand-over is its beginning.
            to.announce();
            let (Some(from), Some(next)) = (Incarnation::of(from), Incarnation::of(to)) else { return };
            entered.report(&Fact::HandedOver { from, to: next, metadata: to.metadata() }, after);
        });
    }

    pub(crate) fn report_described(self, holder: &Arc<Holder>) {
        let described = |life| Fact::Described(life, holder.metadata());
        self.report_with(|entered, after| entered.report_of(holder, described, after));
    }

    fn report_with(self, write: impl FnOnce(&Entered, &mut After)) {
        let (Self(entered), mut after) = (self, After::default());
        write(&entered, &mut after);
        drop(entered);
        after.run();
    }
}

impl Entered {
    fn concern(&self, name: &ServiceName) -> bool {
        !self.of_all.is_empty() || self.of_one.contains_key(name)
    }

    /// Reports the beginning of a holder, unless that has been done.
    fn announce(&self, holder: &Arc<Holder>, after: &mut After) {
        if holder.announce() {
            self.report_of(holder, |life| Fact::Visible(life, holder.metadata()), after);
        }
    }

    /// Reports a fact of a holder, unless its name is only claimed.
    fn report_of(&self, holder: &Arc<Holder>, fact: impl FnOnce(Incarnation) -> NameFact, after: &mut After) {
        if let Some(life) = Incarnation::of(holder) {
            self.report(&fact(life), after);
        }
    }

    fn report(&self, fact: &NameFact, after: &mut After) {
        let of_one = self.of_one.get(fact.name()).into_iter().flatten();
        self.of_all.iter().chain(of_one).for_each(|inbox| inbox.put(fact.clone(), after));
    }
}

fn remove(inboxes: &mut Vec<Arc<FactInbox>>, inbox: &Arc<FactInbox>) -> bool {
    let at = inboxes.iter().position(|other| Arc::ptr_eq(other, inbox));
    // They stay in the order in which they were entered.
    at.map(|at| inboxes.remove(at)).is_some()
}

/// A bounded queue that never blocks its writers: excess facts are dropped, counted and reported.
struct Inbox<F> {
    unread: Mutex<Unread<F>>,
    /// Grows under the lock with each fact that is put in, and with the end, so that a reader which has seen it has to
    /// take the lock only if it has grown since.
    revision: AtomicU64,
}

struct Unread<F> {
    facts: VecDeque<F>,
    capacity: usize,
    /// How many facts were dropped since the reader was last notified. While there are any, no fact is kept: the reader
    /// has to read the table anyway.
    missed: u64,
    closed: bool,
    reader: Option<Waker>,
}

/// The result of a read.
enum Found<F> {
    Fact(F),
    /// This many facts were dropped. Facts are kept again from now on: read the table.
    Missed(u64),
    Closed,
    /// Nothing yet; the reader will be woken.
    Nothing,
}

impl<F> Inbox<F> {
    fn new(capacity: usize) -> Self {
        let (facts, reader) = (VecDeque::new(), None);
        let unread = Unread { facts, capacity, missed: 0, closed: false, reader };
        Self { unread: Mutex::new(unread), revision: AtomicU64::new(0) }
    }

    fn set_capacity(&self, capacity: usize) {
        self.unread.lock().capacity = capacity.max(1);
    }

    /// Never blocks, and defers to `after` what must not run under the caller's lock.
    fn put(&self, fact: F, after: &mut AfterLock<F>) {
        let mut unread = self.unread.lock();
        self.revision.fetch_add(1, Ordering::Relaxed);
        if unread.missed == 0 && unread.facts.len() < unread.capacity {
            unread.facts.push_back(fact);
        } else {
            let dropped = std::mem::take(&mut unread.facts);
            unread.missed += u64::try_from(dropped.len() + 1).unwrap_or(u64::MAX);
            after.drop(dropped.into_iter().chain([fact]));
        }
        after.wake(unread.reader.take());
    }

    /// Marks the end: no more facts will come.
    fn close(&self, after: &mut AfterLock<F>) {
        let mut unread = self.unread.lock();
        self.revision.fetch_add(1, Ordering::Relaxed);
        unread.closed = true;
        after.wake(unread.reader.take());
    }

    /// Relaxed: a caller that has been notified of a fact in any way sees at least its revision.
    fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }

    /// The same as [`take`](Self::take), and no task is woken later.
    fn try_take(&self) -> Found<F> {
        self.unread.lock().take().unwrap_or(Found::Nothing)
    }

    fn take(&self, context: &Context<'_>) -> Found<F> {
        if let Some(found) = self.unread.lock().take() {
            return found;
        }
        // Not under the lock: cloning and dropping a waker runs foreign code.
        let reader = context.waker().clone();
        let mut unread = self.unread.lock();
        if let Some(found) = unread.take() {
            drop(unread);
            return found;
        }
        let replaced = unread.reader.replace(reader);
        drop(unread);
        drop_contained("a waker", replaced);
        Found::Nothing
    }
}

impl<F> Unread<F> {
    /// The next item to read.
    fn take(&mut self) -> Option<Found<F>> {
        match (self.missed, self.facts.pop_front()) {
            (0, Some(fact)) => Some(Found::Fact(fact)),
            (0, None) => self.closed.then_some(Found::Closed),
            (missed, _) => {
                self.missed = 0;
                Some(Found::Missed(missed))
            }
        }
    }
}

/// Readers to wake and values to drop, collected under a lock for after its release: both may run foreign code, which
/// may use what the lock protects.
#[must_use = "readers are not woken"]
struct AfterLock<T> {
    readers: Vec<Waker>,
    surplus: Vec<T>,
}

impl<T> Default for AfterLock<T> {
    fn default() -> Self {
        Self { readers: Vec::new(), surplus: Vec::new() }
    }
}

impl<T> AfterLock<T> {
    fn wake(&mut self, reader: Option<Waker>) {
        self.readers.extend(reader);
    }

    fn drop(&mut self, surplus: impl IntoIterator<Item = T>) {
        self.surplus.extend(surplus);
    }

    /// Call it under no lock.
    fn run(self) {
        self.readers.into_iter().for_each(wake);
        self.surplus.into_iter().for_each(|value| drop_contained("what a slow reader has not read", value));
    }
}

#[cfg(test)]
mod tests {
    use ractor::Actor;

    use super::super::monitor::Monitor;
    use super::super::origin::Origin;
    use super::*;
    use crate::idle::{Idle, IdleMsg};

    const A: ServiceName = ServiceName::from_static("a");

    fn entered(watches: &Watches, names: &[Option<&ServiceName>]) -> Vec<Arc<FactInbox>> {
        names.iter().map(|name| watches.enter(*name, 1)).collect()
    }

    #[test]
    fn a_watch_that_leaves_leaves_nothing_behind() {
        let watches = Watches::new(Weak::<Monitor>::new());
        let names = [None, Some(&A), Some(&A), None];
        let inboxes = entered(&watches, &names);
        for (name, inbox) in names.into_iter().zip(&inboxes) {
            assert!(watches.any());
            watches.leave(name, inbox);
            assert_eq!(Arc::strong_count(inbox), 1);
        }
        assert!(!watches.any() && watches.entered.lock().of_one.is_empty());
    }

    #[test]
    fn a_watch_that_leaves_after_the_end_is_not_counted_twice() {
        let watches = Watches::new(Weak::<Monitor>::new());
        let inboxes = entered(&watches, &[None, Some(&A)]);
        watches.close();
        assert!(!watches.any());
        watches.leave(None, &inboxes[0]);
        watches.leave(Some(&A), &inboxes[1]);
        assert!(!watches.any());
        entered(&watches, &[None]);
        assert!(!watches.any(), "no watch enters after the end");
    }

    #[tokio::test]
    async fn unread_facts_and_a_view_keep_no_actor() {
        let watches = Arc::new(Watches::new(Weak::<Monitor>::new()));
        let inbox = watches.enter(None, 10);
        let (actor, _) = Actor::spawn(None, Idle, ()).await.unwrap();
        let holder = Arc::new(Holder::new::<IdleMsg>(A, Origin::Managed, None));
        holder.begin(actor.get_cell());
        watches.report_visible(&holder);
        watches.report_ended(&holder, End::Died);
        let Found::Fact(fact) = inbox.try_take() else { panic!("its beginning is reported") };
        assert_eq!((fact.name(), Arc::strong_count(&holder)), (&A, 1));
        actor.stop(None);
    }

    fn put(inbox: &Inbox<u32>, fact: u32) {
        let mut after = AfterLock::default();
        inbox.put(fact, &mut after);
        after.run();
    }

    fn take(inbox: &Inbox<u32>) -> Found<u32> {
        inbox.take(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn what_is_too_much_is_dropped_and_counted_and_then_it_goes_on() {
        let inbox = Inbox::new(2);
        (0..5).for_each(|n| put(&inbox, n));
        assert!(matches!(take(&inbox), Found::Missed(5)));
        assert!(matches!(take(&inbox), Found::Nothing));
        put(&inbox, 5);
        inbox.close(&mut AfterLock::default());
        assert!(matches!(take(&inbox), Found::Fact(5)));
        assert!(matches!(take(&inbox), Found::Closed));
    }

    #[test]
    fn the_revision_grows_with_each_fact_and_with_the_end_and_not_by_reading() {
        let inbox = Inbox::new(1);
        (0..3).for_each(|n| put(&inbox, n));
        inbox.close(&mut AfterLock::default());
        assert_eq!(inbox.revision(), 4);
        assert!(matches!((inbox.try_take(), inbox.try_take()), (Found::Missed(_), Found::Closed)));
        assert_eq!(inbox.revision(), 4);
    }

    #[test]
    fn what_fits_comes_in_order() {
        let inbox = Inbox::new(2);
        (0..2).for_each(|n| put(&inbox, n));
        assert!(matches!((take(&inbox), take(&inbox)), (Found::Fact(0), Found::Fact(1))));
    }
}
