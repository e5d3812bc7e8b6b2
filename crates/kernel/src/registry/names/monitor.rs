//! The actors that the process registry monitors, and what to do when one ends: names to give back, groups to leave,
//! and watches to notify of the reason.
//!
//! Not a second table: a name guard is held here on behalf of an actor that cannot hold it itself.
//!
//! 1. An actor is monitored for as long as it has an exit action here: both change under one lock, or a name that is
//!    added while another is removed would be left without a monitor.
//! 2. Exit actions run outside that lock: the last share of a name guard wakes waiters.

use std::sync::{Arc, OnceLock};

use foldhash::HashMap;
use parking_lot::Mutex;
use ractor::{ActorCell, ActorId, ActorStatus};

use super::holder::{Holder, Standing};
use super::table::NameGuard;
use super::watches::{ExitReasonSource, Watches};
use crate::containment::drop_contained;
use crate::exit::ExitReason;
use crate::registry::groups::{Member, MemberMonitor, Membership};

#[derive(Default)]
pub(crate) struct Monitor {
    /// The actor at the root, which monitors all others; set when it has started.
    root: OnceLock<ActorCell>,
    actions: Mutex<ExitActions>,
}

/// Why a name guard is not kept.
pub(crate) enum KeepError {
    /// The actor has ended, or is about to.
    ActorEnds,
    /// The namespace takes no more names, the registry has stopped, or the name was not given.
    NotRunning,
}

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

impl Monitor {
    pub(crate) fn begin(&self, root: ActorCell) {
        // A registry has one root; a second call would be a bug of ours.
        let _ = self.root.set(root);
    }

    /// Keeps the name guard of an actor that cannot hold it itself until the actor ends, and then makes its name
    /// visible; `show` returns whether it is. If not, the name guard is given back.
    pub(crate) fn keep(
        &self,
        actor: &ActorCell,
        name_guard: Arc<NameGuard>,
        show: impl FnOnce(&NameGuard, ActorCell) -> bool,
    ) -> Result<(), KeepError> {
        let root = self.root.get().ok_or(KeepError::NotRunning)?;
        // The name guard is stored first, then the monitor is set, then the status is read: whenever the actor ends,
        // either its event finds the name guard or its end is seen here. In the same way the name is made visible
        // before the table is checked: a clean-up either finds the actor or is seen here.
        self.add(root, actor, OnExit::GiveBack(Arc::clone(&name_guard)));
        let error = if actor.get_status() >= ActorStatus::Draining {
            KeepError::ActorEnds
        } else if show(&name_guard, actor.clone()) && root.get_status() < ActorStatus::Stopping {
            return Ok(());
        } else {
            KeepError::NotRunning
        };
        self.forget(actor, name_guard.holder());
        Err(error)
    }

    /// Drops the name guard of one holder, and stops monitoring the actor if it has no other exit action.
    pub(crate) fn forget(&self, actor: &ActorCell, holder: &Arc<Holder>) {
        let is_meant = |action: &OnExit| matches!(action, OnExit::GiveBack(it) if Arc::ptr_eq(it.holder(), holder));
        self.drop_where(actor, is_meant);
    }

    fn add(&self, root: &ActorCell, actor: &ActorCell, action: OnExit) {
        let mut kept = self.actions.lock();
        let swept = kept.sweep();
        kept.add(root, actor, action);
        drop(kept);
        swept.into_iter().for_each(OnExit::end);
    }

    fn drop_where(&self, actor: &ActorCell, mut is_meant: impl FnMut(&OnExit) -> bool) {
        let mut kept = self.actions.lock();
        let Some(actions) = kept.by_actor.get_mut(&actor.get_id()) else { return };
        let dropped: Vec<_> = actions.extract_if(.., |action| is_meant(action)).collect();
        if actions.is_empty() {
            kept.by_actor.remove(&actor.get_id());
            if let Some(root) = self.root.get() {
                root.unmonitor(actor.clone());
            }
        }
        drop(kept);
        drop_contained("what was kept for an actor", dropped);
    }

    /// Runs the exit actions of this actor.
    pub(crate) fn ended(&self, actor: ActorId, reason: &ExitReason) {
        let actions = self.actions.lock().by_actor.remove(&actor);
        for action in actions.into_iter().flatten() {
            action.report(reason);
            action.end();
        }
    }
}

impl MemberMonitor for Monitor {
    fn keep_member(&self, membership: Membership) -> bool {
        let Some(root) = self.root.get() else { return false };
        let member = Arc::clone(membership.member());
        self.add(root, member.actor(), OnExit::Leave(membership));
        root.get_status() < ActorStatus::Stopping
    }

    fn forget_member(&self, member: &Arc<Member>) {
        let is_meant = |action: &OnExit| matches!(action, OnExit::Leave(it) if Arc::ptr_eq(it.member(), member));
        self.drop_where(member.actor(), is_meant);
    }
}

impl ExitReasonSource for Monitor {
    fn request(&self, watches: &Arc<Watches>, holder: &Arc<Holder>) -> bool {
        let (Some(root), Some(actor)) = (self.root.get(), holder.actor()) else { return false };
        // Without a sweep, whose actions are foreign: a watch may be read under a lock.
        let report = OnExit::ReportReason(Arc::clone(watches), Arc::clone(holder));
        self.actions.lock().add(root, actor, report);
        // Monitored before the check: the end of an actor that is not stopping yet will be reported. The root stops
        // only after all other actors.
        let will_report = actor.get_status() < ActorStatus::Stopping && root.get_status() < ActorStatus::Stopping;
        if !will_report {
            // One promise of several, for each was made to a different caller.
            let mut is_found = false;
            let is_promise = |action: &OnExit| matches!(action, OnExit::ReportReason(_, it) if Arc::ptr_eq(it, holder));
            self.drop_where(actor, |action| is_promise(action) && !std::mem::replace(&mut is_found, true));
        }
        will_report
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
            Self::Leave(membership) => membership.member().is_gone(),
        }
    }
}

impl ExitActions {
    fn add(&mut self, root: &ActorCell, actor: &ActorCell, action: OnExit) {
        self.by_actor.entry(actor.get_id()).or_default().push(action);
        root.monitor(actor.clone());
    }

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
