//! Tasks that join, leave and die while others dispatch: no dead member is returned, and in the end no member is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use foundation::Namespace;
use foundation::names::{Group, GroupError, GroupKey, ServiceRegistry};
use foundation::ractor::{ActorCell, ActorRef, ActorStatus};
use foundation_testkit::{Command, Probe, alive_tasks, test_registry, until};
use tokio::task::yield_now;

use crate::setup::{foreign, key};

const GROUPS: usize = 3;
const JOINERS: usize = 4;
const ROUNDS: usize = 400;

struct Arena {
    names: ServiceRegistry,
    groups: Vec<Group<Command>>,
    over: AtomicBool,
    found: AtomicUsize,
}

impl Arena {
    /// One actor after the other lives in all groups, leaves some and dies in the others.
    async fn live_and_die(&self, joiner: usize) {
        for round in 0..ROUNDS {
            let actor = match round % 2 {
                0 => foreign(Probe::default()).await,
                _ => self.names.spawn(&key(format!("ours_{joiner}")), Probe::default(), ()).await.unwrap(),
            };
            for group in &self.groups {
                group.join(&actor).unwrap();
                group.join(&actor).unwrap();
            }
            let left = &self.groups[round % GROUPS];
            assert_eq!(left.leave(&actor), 2);
            assert!(!left.members().contains(&actor), "it is returned after it has left");
            yield_now().await;
            match round % 4 {
                0 | 1 => actor.stop(None),
                2 => actor.kill(),
                _ => actor.drain().unwrap(),
            }
            actor.wait(None).await.unwrap();
            for group in &self.groups {
                assert!(!group.members().contains(&actor), "it is returned after it has died");
                assert!(matches!(group.join(&actor), Err(GroupError::Dead { .. })));
            }
        }
    }

    async fn dispatch(&self) {
        let mut turn = 0;
        while !self.over.load(Ordering::Relaxed) {
            let group = &self.groups[turn % GROUPS];
            let sent = match turn % 4 {
                0 => group.with_next(|actor| self.note(actor)).is_ok(),
                1 => group.with_any(|actor| self.note(actor)).is_ok(),
                2 => group.cast_next(Command::Note("turn")).is_ok(),
                _ => group.cast_all(|_, ()| Command::Note("all")).unwrap() > 0,
            };
            self.found.fetch_add(usize::from(sent), Ordering::Relaxed);
            turn += 1;
            if turn % 16 == 0 {
                yield_now().await;
            }
        }
    }

    /// An actor that was alive when it was checked may end at any time; an actor that has ended stays so.
    fn note(&self, actor: &ActorCell) {
        let _: ActorRef<Command> = actor.clone().into();
        assert!(actor.get_status() >= ActorStatus::Starting);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn groups_are_empty_after_all_members_have_died() {
    let idle = alive_tasks();
    let (registry, names) = test_registry().await;
    let groups = ["one", "two", "three"].map(|name| names.group(&GroupKey::new(name).unwrap())).to_vec();
    let arena = Arc::new(Arena { names, groups, over: AtomicBool::new(false), found: AtomicUsize::new(0) });
    let dispatchers: Vec<_> = (0..2)
        .map(|_| {
            let arena = Arc::clone(&arena);
            tokio::spawn(async move { arena.dispatch().await })
        })
        .collect();
    let joiners: Vec<_> = (0..JOINERS)
        .map(|joiner| {
            let arena = Arc::clone(&arena);
            tokio::spawn(async move { arena.live_and_die(joiner).await })
        })
        .collect();
    for joiner in joiners {
        joiner.await.unwrap();
    }
    arena.over.store(true, Ordering::Relaxed);
    for dispatcher in dispatchers {
        dispatcher.await.unwrap();
    }
    assert!(arena.found.load(Ordering::Relaxed) > 100, "the dispatchers had no part in it");
    assert!(arena.groups.iter().all(Group::is_empty));
    assert!(arena.names.groups().is_empty());
    registry.namespace(Namespace::test()).await.unwrap();
    registry.shutdown().await;
    until("the end of all tasks", async || alive_tasks() == idle).await;
}
