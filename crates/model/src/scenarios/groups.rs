//! The tables of groups.

use std::sync::Arc;

use loom::sync::atomic::{Ordering, fence};
use loom::thread::spawn;

use super::fixture::{Msg, NAME, explore, monitor, table};
use crate::ActorCell;
use crate::exit::ExitReason;
use crate::namespace::{Namespace, ServiceName};
use crate::registry::groups::MemberMonitor;
use crate::registry::groups::key::Kind;
use crate::registry::groups::table::Groups;
use crate::registry::names::{Monitor, Table};

/// How a group adds a member, step by step; true if it is in.
fn join(groups: &Arc<Groups>, open: &Table, monitor: &Monitor, actor: &ActorCell) -> bool {
    let membership = groups.join(&NAME, Kind::of::<Msg, ()>(), actor.clone(), ());
    let membership = membership.unwrap_or_else(|_| panic!("they are of one kind"));
    let member = Arc::clone(membership.member());
    let kept = monitor.keep_member(membership);
    fence(Ordering::SeqCst);
    if kept && member.live().is_some() && !open.is_closed() {
        return true;
    }
    groups.take_out("a", &[&member]);
    monitor.forget_member(&member);
    false
}

fn members(groups: &Groups) -> usize {
    groups.read("a", Kind::of::<Msg, ()>(), |members| members.len()).unwrap_or(0)
}

/// 5: an actor that ends while it joins is in no group.
pub fn a_join_against_a_death() {
    explore(|| {
        let (groups, monitor, table) = (Arc::new(Groups::new(Namespace)), monitor(), table());
        let actor = ActorCell::running(1);
        let dying = spawn({
            let (actor, monitor) = (actor.clone(), Arc::clone(&monitor));
            move || actor.end(|id| monitor.ended(id, &ExitReason))
        });
        join(&groups, &table, &monitor, &actor);
        dying.join().unwrap();
        assert_eq!(members(&groups), 0, "its end removes no member");
    });
}

/// An actor that loses its last exit action, while it gets another one, is monitor for that: see `monitor.rs`, 1.
pub fn a_join_against_the_loss_of_all_else() {
    explore(|| {
        let (groups, monitor, table) = (Arc::new(Groups::new(Namespace)), monitor(), table());
        let (actor, group) = (ActorCell::running(1), ServiceName::from_static("b"));
        let joined = groups.join(&group, Kind::of::<Msg, ()>(), actor.clone(), ());
        let membership = joined.unwrap_or_else(|_| panic!("it is the first"));
        let first = Arc::clone(membership.member());
        monitor.keep_member(membership);
        let leaving = spawn({
            let (groups, monitor) = (Arc::clone(&groups), Arc::clone(&monitor));
            move || {
                groups.take_out("b", &[&first]);
                monitor.forget_member(&first);
            }
        });
        assert!(join(&groups, &table, &monitor, &actor));
        leaving.join().unwrap();
        actor.end(|id| monitor.ended(id, &ExitReason));
        assert_eq!(members(&groups), 0, "its end was not reported");
    });
}

/// 5: a join while the namespace is closed is refused, or its member is seen by the close.
pub fn a_join_against_a_close() {
    explore(|| {
        let (groups, monitor, table) = (Arc::new(Groups::new(Namespace)), monitor(), table());
        let joining = spawn({
            let (groups, monitor, table) = (Arc::clone(&groups), Arc::clone(&monitor), Arc::clone(&table));
            move || join(&groups, &table, &monitor, &ActorCell::running(1))
        });
        table.close();
        let seen = !groups.members().is_empty();
        let is_in = joining.join().unwrap();
        assert!(seen || !is_in, "it is in a namespace that is gone, unnoticed");
    });
}

/// 1: a group that loses its last member while it gets another one has that one.
pub fn a_join_against_the_last_leaving() {
    explore(|| {
        let groups = Arc::new(Groups::new(Namespace));
        let kind = Kind::of::<Msg, ()>();
        let [first, second] = [1, 2].map(ActorCell::running);
        let first = groups.join(&NAME, kind, first, ()).unwrap_or_else(|_| panic!("it is the first"));
        let first = Arc::clone(first.member());
        let leaving = spawn({
            let groups = Arc::clone(&groups);
            move || groups.take_out("a", &[&first])
        });
        groups.join(&NAME, kind, second, ()).unwrap_or_else(|_| panic!("they are of one kind"));
        assert_eq!(leaving.join().unwrap(), 1);
        assert_eq!(members(&groups), 1);
    });
}
