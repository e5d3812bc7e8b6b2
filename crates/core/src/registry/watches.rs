//! Who watches the names of a table, and how they are told.
//!
//! 1. A watch is entered and then looks at the table; a writer changes the table and then looks for watches, each with a
//!    fence between the two. So one of them sees the other: there is no gap. There may be a fact that the look
//!    has shown already; the watch's [`View`](super::view::View) drops it.
//! 2. Facts are told under one lock, so all watches of a table are told them in the same order.
//! 3. An end is told after readers have ceased to find the holder and before anybody else can get the name; the beginning
//!    is told before it, by the same one if nobody has yet, and never after. So the facts of a name come in order.
//! 4. A name is handed over, and described, under that lock: nothing that follows from it is told before it.
//! 5. Why an actor ended is noted at its holder and then told, under that lock: who is entered is told, and who comes later
//!    finds it noted.
//! 6. Readers are woken, and what they will not read is dropped, when that lock is open again: a waker may drop or poll a watch.
//! 7. Nobody waits here for a reader, and nothing of this concerns a lookup.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};

use super::after_lock::AfterLock;
use super::change::Registration;
use super::holder::{Holder, Origin};
use super::inbox::Inbox;
use super::metadata::Metadata;
use super::view::{End, Fact, Life, Stated};
use crate::exit::ExitReason;
use crate::namespace::ServiceName;
use crate::sync::atomic::{AtomicUsize, Ordering, fence};

type HolderFact = Fact<Arc<Holder>>;
type After = AfterLock<HolderFact>;
pub(crate) type FactInbox = Inbox<HolderFact>;

/// Somebody who can find out why an actor ended.
pub(crate) trait Coroner: Send + Sync + 'static {
    /// Promises to tell these watches why the actor of this holder ended, or says that it cannot.
    fn inquire(&self, watches: &Arc<Watches>, holder: &Arc<Holder>) -> bool;
}

/// The watches of one table.
pub(crate) struct Watches {
    /// How many there are, so that a writer whom nobody watches takes no lock.
    count: AtomicUsize,
    entered: Mutex<Entered>,
    coroner: Option<Weak<dyn Coroner>>,
}

#[derive(Default)]
struct Entered {
    of_all: Vec<Arc<FactInbox>>,
    of_one: HashMap<ServiceName, Vec<Arc<FactInbox>>>,
    closed: bool,
}

impl Watches {
    pub(crate) fn new(coroner: Option<Weak<dyn Coroner>>) -> Self {
        Self { count: AtomicUsize::new(0), entered: Mutex::default(), coroner }
    }

    /// Enters a watch of one name, or of all. Look at the table only afterwards.
    pub(crate) fn enter(&self, name: Option<&ServiceName>, inbox: &Arc<FactInbox>) {
        let mut entered = self.entered.lock();
        if entered.closed {
            // Nobody reads it yet, so nobody is woken.
            return inbox.close(&mut After::default());
        }
        match name {
            Some(name) => entered.of_one.entry(name.clone()).or_default().push(Arc::clone(inbox)),
            None => entered.of_all.push(Arc::clone(inbox)),
        }
        self.count.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    pub(crate) fn leave(&self, name: Option<&ServiceName>, inbox: &Arc<FactInbox>) {
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

    /// Whether there may be somebody to tell. Change the table only before, with a fence between.
    pub(crate) fn any(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    // ---- what writers tell ----

    /// After a fence: see [`any`](Self::any).
    pub(crate) fn tell_visible(self: &Arc<Self>, holder: &Arc<Holder>) {
        if !self.any() || !self.entered.lock().concern(holder.name()) {
            holder.announce();
            return;
        }
        self.inquire(holder);
        self.telling(|entered, after| {
            // Who is retired is left to whoever tells the end: a beginning after that would never end.
            if !holder.is_retired() {
                entered.announce(holder, after);
            }
        });
    }

    pub(crate) fn tell_ended(&self, holder: &Arc<Holder>, end: End) {
        fence(Ordering::SeqCst);
        // A claim that came to nothing was never visible.
        if self.any() && holder.actor().is_some() {
            self.telling(|entered, after| {
                // Its end may come before whoever has made it visible has had the time to say so.
                entered.announce(holder, after);
                entered.tell(&Fact::Ended(Arc::clone(holder), end), after);
            });
        }
    }

    /// Tells why the actor of a holder ended, which may be before its name is free or after.
    pub(crate) fn tell_reason(&self, holder: &Arc<Holder>, reason: &ExitReason) {
        self.telling(|entered, after| {
            holder.set_reason(reason.clone());
            entered.tell(&Fact::Reason(Arc::clone(holder), reason.clone()), after);
        });
    }

    /// Tells something, and runs what that has to do with code of others when the lock is open again.
    fn telling(&self, tell: impl FnOnce(&Entered, &mut After)) {
        self.hold().telling(tell);
    }

    /// Keeps all others from telling anything until what is done under it has been told.
    pub(crate) fn hold(&self) -> Telling<'_> {
        Telling(self.entered.lock())
    }

    /// Sees to it that the reason of this holder's end will be told, if that has not been done before.
    ///
    /// Foreign actors are monitored anyway, and their names go because the reason is known.
    pub(crate) fn inquire(self: &Arc<Self>, holder: &Arc<Holder>) {
        if holder.origin() == Origin::Foreign || holder.is_inquired() {
            return;
        }
        let coroner = self.coroner.as_ref().and_then(Weak::upgrade);
        if coroner.is_some_and(|coroner| coroner.inquire(self, holder)) {
            holder.set_inquired();
        }
    }
}

/// The lock under which facts are told.
pub(crate) struct Telling<'a>(MutexGuard<'a, Entered>);

impl Telling<'_> {
    pub(crate) fn tell_handed_over(self, from: &Arc<Holder>, to: &Arc<Holder>) {
        self.telling(|entered, after| {
            entered.announce(from, after);
            // The hand-over is its beginning.
            to.announce();
            let fact = Fact::HandedOver { from: Arc::clone(from), to: Arc::clone(to), stated: to.metadata() };
            entered.tell(&fact, after);
        });
    }

    pub(crate) fn tell(self, fact: &HolderFact) {
        self.telling(|entered, after| entered.tell(fact, after));
    }

    fn telling(self, tell: impl FnOnce(&Entered, &mut After)) {
        let (Self(entered), mut after) = (self, After::default());
        tell(&entered, &mut after);
        drop(entered);
        after.run();
    }
}

impl Entered {
    fn concern(&self, name: &ServiceName) -> bool {
        !self.of_all.is_empty() || self.of_one.contains_key(name)
    }

    /// Tells the beginning of a holder, unless that has been done.
    fn announce(&self, holder: &Arc<Holder>, after: &mut After) {
        if holder.announce() {
            self.tell(&Fact::Visible(Arc::clone(holder), holder.metadata()), after);
        }
    }

    fn tell(&self, fact: &HolderFact, after: &mut After) {
        let of_one = self.of_one.get(fact.name()).into_iter().flatten();
        self.of_all.iter().chain(of_one).for_each(|inbox| inbox.put(fact.clone(), after));
    }
}

fn remove(inboxes: &mut Vec<Arc<FactInbox>>, inbox: &Arc<FactInbox>) -> bool {
    let at = inboxes.iter().position(|other| Arc::ptr_eq(other, inbox));
    at.map(|at| inboxes.swap_remove(at)).is_some()
}

impl Life for Arc<Holder> {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(self, other)
    }

    fn name(&self) -> &ServiceName {
        Holder::name(self)
    }

    fn previous(&self) -> Option<ractor::ActorId> {
        Holder::previous(self)
    }

    fn stated(&self) -> Stated {
        self.metadata()
    }

    fn reason(&self) -> Option<ExitReason> {
        Holder::reason(self).cloned()
    }

    fn registration(&self, metadata: Option<Metadata>) -> Option<Registration> {
        Some(Registration {
            name: Holder::name(self).clone(),
            actor: self.actor_id()?,
            message: self.message(),
            restarts: self.restarts(),
            foreign: self.origin() == Origin::Foreign,
            metadata,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ServiceName = ServiceName::from_static("a");

    fn entered(watches: &Watches, names: &[Option<&ServiceName>]) -> Vec<Arc<FactInbox>> {
        let enter = |name: &Option<&ServiceName>| {
            let inbox = Arc::new(FactInbox::new(1));
            watches.enter(*name, &inbox);
            inbox
        };
        names.iter().map(enter).collect()
    }

    #[test]
    fn a_watch_that_leaves_leaves_nothing_behind() {
        let watches = Watches::new(None);
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
        let watches = Watches::new(None);
        let inboxes = entered(&watches, &[None, Some(&A)]);
        watches.close();
        assert!(!watches.any());
        watches.leave(None, &inboxes[0]);
        watches.leave(Some(&A), &inboxes[1]);
        assert!(!watches.any());
        entered(&watches, &[None]);
        assert!(!watches.any(), "nobody enters what has ended");
    }
}
