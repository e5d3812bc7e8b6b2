//! The notification of watches.

use std::sync::{Arc, Weak};
use std::task::{Context, Waker};

use loom::thread::spawn;

use super::{NAME, claimed, explore, explore_within, table};
use crate::exit::ExitReason;
use crate::namespace::Namespace;
use crate::registry::change::NameChange;
use crate::registry::foreign::Monitored;
use crate::registry::holder::{Holder, Origin};
use crate::registry::inbox::Found;
use crate::registry::name_guard::NameGuard;
use crate::registry::table::Table;
use crate::registry::view::View;
use crate::registry::watches::{ExitReasonSource, FactInbox, Watches};
use crate::{ActorCell, ActorStatus};

/// The process registry, as far as it reports why actors ended.
struct Registry {
    actor: ActorCell,
    monitored: Monitored,
}

impl Registry {
    /// With a table whose exit reasons it reports.
    fn with_table() -> (Arc<Self>, Arc<Table>) {
        let registry = Arc::new(Self { actor: ActorCell::running(0), monitored: Monitored::default() });
        let exit_reasons: Weak<Self> = Arc::downgrade(&registry);
        (registry, Arc::new(Table::with_exit_reasons(Namespace, exit_reasons)))
    }

    /// A managed actor ends: the registry is notified before its name is given back, or after.
    fn end(&self, actor: &ActorCell, name_guard: Arc<NameGuard>, notification: Notification) {
        match notification {
            Notification::Before => {
                actor.end(|id| self.monitored.ended(id, &ExitReason));
                drop(name_guard);
            }
            // If it is not monitored, the name guard is dropped with this closure.
            Notification::After => actor.end(move |id| {
                drop(name_guard);
                self.monitored.ended(id, &ExitReason);
            }),
        }
    }
}

#[derive(Clone, Copy)]
enum Notification {
    Before,
    After,
}

/// Explores a scenario of an end in both of its orders.
fn explore_ends(preemptions: Option<usize>, scenario: fn(Notification)) {
    for notification in [Notification::Before, Notification::After] {
        explore_within(preemptions, move || scenario(notification));
    }
}

/// An actor that has the name, and its end; the registry has to be kept.
fn registered(notification: Notification) -> (Arc<Registry>, Arc<Table>, impl FnOnce() + Send + 'static) {
    let (registry, table) = Registry::with_table();
    let (name_guard, actor) = (claimed(&table, Origin::Managed), ActorCell::running(1));
    name_guard.publish(actor.clone());
    let end = {
        let registry = Arc::clone(&registry);
        move || registry.end(&actor, name_guard, notification)
    };
    (registry, table, end)
}

/// How the process registry promises to report a reason, step by step.
impl ExitReasonSource for Registry {
    fn request(&self, watches: &Arc<Watches>, holder: &Arc<Holder>) -> bool {
        let Some(actor) = holder.actor() else { return false };
        self.monitored.report_reason(&self.actor, actor, (Arc::clone(watches), Arc::clone(holder)));
        let will_report = actor.get_status() < ActorStatus::Stopping;
        if !will_report {
            self.monitored.cancel_report(&self.actor, actor, holder);
        }
        will_report
    }
}

/// A watch, as it begins: entered, then read.
struct Watch {
    inbox: Arc<FactInbox>,
    view: View<Arc<Holder>>,
}

impl Watch {
    fn new(table: &Table) -> Self {
        let inbox = Arc::new(FactInbox::new(64));
        table.watches().enter(Some(&NAME), &inbox);
        Self { view: table.snapshot(Some(&NAME)), inbox }
    }

    /// Reads all that is there; returns the holder of the name then, and the reported changes.
    fn read(mut self) -> (Option<u8>, Vec<NameChange>) {
        let (waker, mut changes) = (Waker::noop(), Vec::new());
        while let Found::Fact(fact) = self.inbox.take(&Context::from_waker(waker)) {
            self.view.apply(fact, &mut |change| changes.push(change));
        }
        (self.view.snapshot().first().map(|it| it.actor.0), changes)
    }
}

/// A watch that begins while a name is registered shows it: in its snapshot or as a change.
pub fn a_watch_against_a_registration() {
    explore(|| {
        let table = table();
        let name_guard = claimed(&table, Origin::Managed);
        let registering = spawn(move || {
            name_guard.publish(ActorCell::running(1));
            name_guard
        });
        let watch = Watch::new(&table);
        let _name_guard = registering.join().unwrap();
        assert_eq!(watch.read().0, Some(1));
    });
}

/// A name that goes while its beginning is still being reported: both are reported, in this order, or neither.
pub fn a_watched_registration_against_its_end() {
    explore(|| {
        let table = table();
        let watch = Watch::new(&table);
        let name_guard = claimed(&table, Origin::Managed);
        let holder = Arc::clone(name_guard.holder());
        let registering = spawn(move || {
            name_guard.publish(ActorCell::running(1));
            name_guard
        });
        let was_there = holder.actor().is_some();
        table.take_away(&holder);
        let _name_guard = registering.join().unwrap();
        let (shown, changes) = watch.read();
        assert_eq!(shown, None);
        match &changes[..] {
            [] => assert!(!was_there, "nothing is reported of it"),
            [NameChange::Registered(_), NameChange::Unregistered { .. }] => {}
            other => panic!("{other:?}"),
        }
    });
}

/// A watch that begins while an actor ends does not go on showing it, nor wait for a reason that was reported before.
pub fn a_watch_against_a_death() {
    explore_ends(None, |notification| {
        let (_registry, table, end) = registered(notification);
        let dying = spawn(end);
        let watch = Watch::new(&table);
        dying.join().unwrap();
        assert_eq!(watch.read().0, None);
    });
}

/// A watch from before an actor's end gets its reason, even if another watch begins meanwhile.
pub fn a_watch_against_a_death_that_another_watches() {
    explore_ends(None, |notification| {
        let (_registry, table, end) = registered(notification);
        let first = Watch::new(&table);
        let dying = spawn(end);
        let second = Watch::new(&table);
        dying.join().unwrap();
        let (shown, changes) = first.read();
        assert_eq!(shown, None);
        assert!(matches!(&changes[..], [NameChange::Died { reason: Some(ExitReason), .. }]), "{changes:?}");
        assert_eq!(second.read().0, None);
    });
}

/// Of two watches that begin at once none takes back what the other was promised.
///
/// Three threads are too many for all interleavings: these are the ones with at most two preemptions.
pub fn two_watches_against_a_death() {
    explore_ends(Some(2), |notification| {
        let (_registry, table, end) = registered(notification);
        let watching = spawn({
            let table = Arc::clone(&table);
            move || Watch::new(&table)
        });
        let dying = spawn(end);
        let second = Watch::new(&table);
        let first = watching.join().unwrap();
        dying.join().unwrap();
        assert_eq!((first.read().0, second.read().0), (None, None));
    });
}

/// A watch is there while an actor gets a name, ends and gives it back, all at once.
pub fn a_watch_against_a_life() {
    explore_ends(None, |notification| {
        let (registry, table) = Registry::with_table();
        let name_guard = claimed(&table, Origin::Managed);
        let living = spawn({
            let registry = Arc::clone(&registry);
            move || {
                let actor = ActorCell::running(1);
                name_guard.publish(actor.clone());
                registry.end(&actor, name_guard, notification);
            }
        });
        let watch = Watch::new(&table);
        living.join().unwrap();
        assert_eq!(watch.read().0, None);
    });
}
