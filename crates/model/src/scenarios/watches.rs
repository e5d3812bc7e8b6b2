//! The notification of watches.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use futures::Stream;
use loom::thread::spawn;

use super::fixture::{NAME, claimed, explore, explore_within, monitor, table};
use crate::ActorCell;
use crate::exit::ExitReason;
use crate::namespace::Namespace;
use crate::registry::names::{DeferredDrops, Monitor, NameChange, NameGuard, Origin, Table, Watch, Watched};

/// A table with a monitor that reports why its actors ended.
fn monitored_table() -> (Arc<Monitor>, Arc<Table>) {
    let monitor = monitor();
    let exit_reasons: Weak<Monitor> = Arc::downgrade(&monitor);
    (monitor, Arc::new(Table::new(Namespace, exit_reasons)))
}

/// A managed actor ends: the registry is notified before its name is given back, or after.
fn end(monitor: &Monitor, actor: &ActorCell, name_guard: Arc<NameGuard>, notification: Notification) {
    match notification {
        Notification::Before => {
            actor.end(|id| monitor.ended(id, &ExitReason));
            drop(name_guard);
        }
        // If it is not monitored, the name guard is dropped with this closure.
        Notification::After => actor.end(move |id| {
            drop(name_guard);
            monitor.ended(id, &ExitReason);
        }),
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
fn registered(notification: Notification) -> (Arc<Monitor>, Arc<Table>, impl FnOnce() + Send + 'static) {
    let (monitor, table) = monitored_table();
    let (name_guard, actor) = (claimed(&table, Origin::Managed), ActorCell::running(1));
    name_guard.publish(actor.clone());
    let end = {
        let monitor = Arc::clone(&monitor);
        move || end(&monitor, &actor, name_guard, notification)
    };
    (monitor, table, end)
}

fn watch(table: &Arc<Table>) -> Watch {
    Watch::new(Arc::clone(table), Some(NAME))
}

/// Reads all that is there; returns the actor that is shown then, and the reported changes.
fn read(mut watch: Watch) -> (Option<u8>, Vec<NameChange>) {
    let (mut shown, mut changes) = (None, Vec::new());
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(watched)) = Pin::new(&mut watch).poll_next(&mut context) {
        match watched {
            Watched::Snapshot(services) | Watched::Lagged { snapshot: services, .. } => {
                shown = services.first().map(|it| it.actor.0);
            }
            Watched::Change(change) => {
                shown = change.service().map(|it| it.actor.0);
                changes.push(change);
            }
        }
    }
    (shown, changes)
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
        let watch = watch(&table);
        let _name_guard = registering.join().unwrap();
        assert_eq!(read(watch).0, Some(1));
    });
}

/// A reader that has read all that was there looks at the revision only: it misses no registration that is finished.
pub fn a_look_at_a_watch_against_a_registration() {
    explore(|| {
        let table = table();
        let name_guard = claimed(&table, Origin::Managed);
        let mut watch = watch(&table);
        let registering = spawn(move || {
            name_guard.publish(ActorCell::running(1));
            name_guard
        });
        let before = read_now(&mut watch);
        let _name_guard = registering.join().unwrap();
        let after = if watch.has_unread() { read_now(&mut watch) } else { None };
        assert_eq!(before.or(after), Some(1));
        assert!(!watch.has_unread());
    });
}

/// Reads all that is there; returns the actor that has the name then, if that has changed.
fn read_now(watch: &mut Watch) -> Option<u8> {
    let mut shown = None;
    while let Ok(watched) = watch.try_next(&mut DeferredDrops::new()) {
        if let Watched::Change(change) = watched {
            shown = change.service().map(|it| it.actor.0);
        }
    }
    shown
}

/// A name that goes while its beginning is still being reported: both are reported, in this order, or neither.
pub fn a_watched_registration_against_its_end() {
    explore(|| {
        let table = table();
        let watch = watch(&table);
        let name_guard = claimed(&table, Origin::Managed);
        let holder = Arc::clone(name_guard.holder());
        let registering = spawn(move || {
            name_guard.publish(ActorCell::running(1));
            name_guard
        });
        let was_there = holder.actor().is_some();
        table.take_away(&holder);
        let _name_guard = registering.join().unwrap();
        let (shown, changes) = read(watch);
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
        let (_monitor, table, end) = registered(notification);
        let dying = spawn(end);
        let watch = watch(&table);
        dying.join().unwrap();
        assert_eq!(read(watch).0, None);
    });
}

/// A watch from before an actor's end gets its reason, even if another watch begins meanwhile.
pub fn a_watch_against_a_death_that_another_watches() {
    explore_ends(None, |notification| {
        let (_monitor, table, end) = registered(notification);
        let first = watch(&table);
        let dying = spawn(end);
        let second = watch(&table);
        dying.join().unwrap();
        let (shown, changes) = read(first);
        assert_eq!(shown, None);
        assert!(matches!(&changes[..], [NameChange::Died { reason: Some(ExitReason), .. }]), "{changes:?}");
        assert_eq!(read(second).0, None);
    });
}

/// Of two watches that begin at once none takes back what the other was promised.
///
/// Three threads are too many for all interleavings: these are the ones with at most two preemptions.
pub fn two_watches_against_a_death() {
    explore_ends(Some(2), |notification| {
        let (_monitor, table, end) = registered(notification);
        let watching = spawn({
            let table = Arc::clone(&table);
            move || watch(&table)
        });
        let dying = spawn(end);
        let second = watch(&table);
        let first = watching.join().unwrap();
        dying.join().unwrap();
        assert_eq!((read(first).0, read(second).0), (None, None));
    });
}

/// A watch is there while an actor gets a name, ends and gives it back, all at once.
///
/// A whole life has too many steps for all interleavings: these are the ones with at most three preemptions.
pub fn a_watch_against_a_life() {
    explore_ends(Some(3), |notification| {
        let (monitor, table) = monitored_table();
        let name_guard = claimed(&table, Origin::Managed);
        let living = spawn({
            let monitor = Arc::clone(&monitor);
            move || {
                let actor = ActorCell::running(1);
                name_guard.publish(actor.clone());
                end(&monitor, &actor, name_guard, notification);
            }
        });
        let watch = watch(&table);
        living.join().unwrap();
        assert_eq!(read(watch).0, None);
    });
}
