//! The tables of groups.

use std::sync::Arc;

use loom::sync::atomic::{Ordering, fence};
use loom::thread::spawn;

use super::{Msg, NAME, explore, table};
use crate::ActorCell;
use crate::exit::ExitReason;
use crate::namespace::{Namespace, ServiceName};
use crate::registry::foreign::Monitored;
use crate::registry::groups::key::Kind;
use crate::registry::groups::table::Groups;
use crate::registry::groups::{Member, Membership};
use crate::registry::table::Table;

/// How a group adds a member, step by step; true if it is in.
fn join(groups: &Arc<Groups>, open: &Table, monitored: &Monitored, registry: &ActorCell, actor: &ActorCell) -> bool {
    let member = Arc::new(Member::new(actor.clone(), ()));
    groups.add(&NAME, Kind::of::<Msg, ()>(), Arc::clone(&member)).unwrap_or_else(|_| panic!("they are of one kind"));
    let membership = Membership { groups: Arc::clone(groups), group: NAME, member: Arc::clone(&member) };
    monitored.keep_member(registry, membership);
    fence(Ordering::SeqCst);
    if member.live().is_some() && !open.is_closed() {
        return true;
    }
    groups.take_out("a", &[&member]);
    monitored.forget_member(registry, &member);
    false
}

fn members(groups: &Groups) -> usize {
    groups.read("a", Kind::of::<Msg, ()>(), |_, members| members.len()).unwrap_or(0)
}

/// 5: an actor that ends while it joins is in no group.
pub fn a_join_against_a_death() {
    explore(|| {
        let (groups, monitored, table) = (Arc::new(Groups::new(Namespace)), Arc::new(Monitored::default()), table());
        let actor = ActorCell::running(1);
        let dying = spawn({
            let (actor, monitored) = (actor.clone(), Arc::clone(&monitored));
            move || actor.end(|id| monitored.ended(id, &ExitReason))
        });
        join(&groups, &table, &monitored, &ActorCell::running(0), &actor);
        dying.join().unwrap();
        assert_eq!(members(&groups), 0, "its end removes no member");
    });
}

/// An actor that loses its last exit action, while it gets another one, is monitored for that: see `foreign.rs`, 1.
pub fn a_join_against_the_loss_of_all_else() {
    explore(|| {
        let (groups, monitored, table) = (Arc::new(Groups::new(Namespace)), Arc::new(Monitored::default()), table());
        let (registry, actor) = (ActorCell::running(0), ActorCell::running(1));
        let first = Arc::new(Member::new(actor.clone(), ()));
        let group = ServiceName::from_static("b");
        groups.add(&group, Kind::of::<Msg, ()>(), Arc::clone(&first)).unwrap_or_else(|_| panic!("it is the first"));
        let membership = Membership { groups: Arc::clone(&groups), group, member: Arc::clone(&first) };
        monitored.keep_member(&registry, membership);
        let leaving = spawn({
            let (groups, monitored, registry) = (Arc::clone(&groups), Arc::clone(&monitored), registry.clone());
            move || {
                groups.take_out("b", &[&first]);
                monitored.forget_member(&registry, &first);
            }
        });
        assert!(join(&groups, &table, &monitored, &registry, &actor));
        leaving.join().unwrap();
        actor.end(|id| monitored.ended(id, &ExitReason));
        assert_eq!(members(&groups), 0, "its end was not reported");
    });
}

/// 5: a join while the namespace is closed is refused, or its member is seen by the close.
pub fn a_join_against_a_close() {
    explore(|| {
        let (groups, monitored, table) = (Arc::new(Groups::new(Namespace)), Arc::new(Monitored::default()), table());
        let joining = spawn({
            let (groups, monitored, table) = (Arc::clone(&groups), Arc::clone(&monitored), Arc::clone(&table));
            move || join(&groups, &table, &monitored, &ActorCell::running(0), &ActorCell::running(1))
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
        let [first, second] = [1, 2].map(|id| Arc::new(Member::new(ActorCell::running(id), ())));
        groups.add(&NAME, kind, Arc::clone(&first)).unwrap_or_else(|_| panic!("it is the first"));
        let leaving = spawn({
            let groups = Arc::clone(&groups);
            move || groups.take_out("a", &[&first])
        });
        groups.add(&NAME, kind, second).unwrap_or_else(|_| panic!("they are of one kind"));
        assert_eq!(leaving.join().unwrap(), 1);
        assert_eq!(members(&groups), 1);
    });
}
