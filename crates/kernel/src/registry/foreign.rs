//! The actors that the process registry monitors, and what to do when one ends: names to give back, groups to leave,
//! and watches to notify of the reason.
//!
//! Not a second table: a name guard is held here on behalf of an actor that cannot hold it itself.
//!
//! 1. An actor is monitored for as long as it has an exit action here: both change under one lock, or a name that is
//!    added while another is removed would be left without a monitor.
//! 2. Exit actions run outside that lock: the last share of a name guard wakes waiters.

use std::sync::Arc;

use foldhash::HashMap;
use parking_lot::Mutex;
use ractor::{ActorCell, ActorId};

use super::groups::{Member, Membership};
use super::holder::{Holder, Standing};
use super::name_guard::NameGuard;
use super::watches::Watches;
use crate::containment::drop_contained;
use crate::exit::ExitReason;

#[derive(Default)]
pub(crate) struct Monitored(Mutex<ExitActions>);

#[derive(Default)]
struct ExitActions {
    by_actor: HashMap<ActorId, Vec<OnExit>>,
    /// The number of actors at which to look for those that ended without a notification.
    sweep_at: usize,
}

/// What to do when an actor ends.
enum OnExit {
    /// Give its name back.
    GiveBack(Arc<NameGuard>),
    /// Report the reason, for an actor that gives its name back itself.
    ReportReason(Arc<Watches>, Arc<Holder>),
    /// Take it out of a group.
    Leave(Membership),
}

/// The largest number of actors that is not worth a sweep.
const MAX_UNSWEPT_ACTORS: usize = 64;

impl Monitored {
    /// Keeps a name guard until `registry`, which monitors the actor from now on, is notified of its end.
    pub(crate) fn keep(&self, registry: &ActorCell, actor: &ActorCell, name_guard: Arc<NameGuard>) {
        self.add(registry, actor, OnExit::GiveBack(name_guard));
    }

    /// Reports to these watches why the actor ended, when `registry` is notified of it.
    pub(crate) fn report_reason(&self, registry: &ActorCell, actor: &ActorCell, of: (Arc<Watches>, Arc<Holder>)) {
        self.add(registry, actor, OnExit::ReportReason(of.0, of.1));
    }

    /// Withdraws one promise to report why this holder's actor ended; each of several was made by a different caller.
    pub(crate) fn cancel_report(&self, registry: &ActorCell, actor: &ActorCell, holder: &Arc<Holder>) {
        let mut is_found = false;
        let is_promise = |action: &OnExit| matches!(action, OnExit::ReportReason(_, it) if Arc::ptr_eq(it, holder));
        self.drop_where(registry, actor, |action| is_promise(action) && !std::mem::replace(&mut is_found, true));
    }

    /// Removes the member from its group when `registry` is notified of its end.
    pub(crate) fn keep_member(&self, registry: &ActorCell, membership: Membership) {
        let member = Arc::clone(&membership.member);
        self.add(registry, member.actor(), OnExit::Leave(membership));
    }

    fn add(&self, registry: &ActorCell, actor: &ActorCell, action: OnExit) {
        let mut kept = self.0.lock();
        let swept = kept.sweep();
        kept.by_actor.entry(actor.get_id()).or_default().push(action);
        registry.monitor(actor.clone());
        drop(kept);
        swept.into_iter().for_each(OnExit::end);
    }

    /// Drops the name guard of one holder, and stops monitoring the actor if it has no other exit action.
    pub(crate) fn give_back(&self, registry: &ActorCell, actor: &ActorCell, holder: &Arc<Holder>) {
        let is_meant = |action: &OnExit| matches!(action, OnExit::GiveBack(it) if Arc::ptr_eq(it.holder(), holder));
        self.drop_where(registry, actor, is_meant);
    }

    /// Drops the exit action of a membership, and stops monitoring the actor if it has no other.
    pub(crate) fn forget_member(&self, registry: &ActorCell, member: &Arc<Member>) {
        let is_meant = |action: &OnExit| matches!(action, OnExit::Leave(it) if Arc::ptr_eq(&it.member, member));
        self.drop_where(registry, member.actor(), is_meant);
    }

    fn drop_where(&self, registry: &ActorCell, actor: &ActorCell, mut is_meant: impl FnMut(&OnExit) -> bool) {
        let mut kept = self.0.lock();
        let Some(actions) = kept.by_actor.get_mut(&actor.get_id()) else { return };
        let dropped: Vec<_> = actions.extract_if(.., |action| is_meant(action)).collect();
        if actions.is_empty() {
            kept.by_actor.remove(&actor.get_id());
            registry.unmonitor(actor.clone());
        }
        drop(kept);
        drop_contained("what was kept for an actor", dropped);
    }

    /// Runs the exit actions of this actor.
    pub(crate) fn ended(&self, actor: ActorId, reason: &ExitReason) {
        let actions = self.0.lock().by_actor.remove(&actor);
        for action in actions.into_iter().flatten() {
            action.report(reason);
            action.end();
        }
    }
}

impl OnExit {
    fn report(&self, reason: &ExitReason) {
        let (watches, holder) = match self {
            Self::GiveBack(name_guard) => (name_guard.watches(), name_guard.holder()),
            Self::ReportReason(watches, holder) => (watches, holder),
            Self::Leave(_) => return,
        };
        watches.report_reason(holder, reason);
    }

    /// A name guard gives the name back when it is dropped, and may drop the last reference to an actor.
    fn end(self) {
        if let Self::Leave(membership) = &self {
            membership.end();
        }
        drop_contained("what was kept for an actor", self);
    }

    /// Whether its actor is gone without a notification; the end of a managed actor with a name is always reported.
    fn is_overdue(&self) -> bool {
        match self {
            Self::GiveBack(name_guard) => name_guard.holder().standing() == Standing::Gone,
            Self::ReportReason(..) => false,
            Self::Leave(membership) => membership.member.is_gone(),
        }
    }
}

impl ExitActions {
    /// Removes the exit actions of actors that are gone. ractor does not report an actor that ends before it has
    /// started, so a sweep is made whenever their number may have doubled.
    fn sweep(&mut self) -> Vec<OnExit> {
        if self.by_actor.len() < self.sweep_at.max(MAX_UNSWEPT_ACTORS) {
            return Vec::new();
        }
        let swept = self.by_actor.extract_if(|_, actions| actions.iter().all(OnExit::is_overdue));
        let swept = swept.flat_map(|(_, actions)| actions).collect();
        self.sweep_at = 2 * self.by_actor.len();
        swept
    }
}
