//! Eight tasks that register, end, describe and hand over, and watches of several speeds: each watch has the table in
//! the end, and no task has waited for a watch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fastrand::Rng;
use foundation::ServiceKey;
use foundation::names::{Metadata, ServiceRegistry, Watch};
use foundation::ractor::{Actor, ActorRef};
use foundation_testkit::{Command, Probe, test_registry};
use futures::FutureExt;
use tokio::task::yield_now;

use super::mirror::{Mirror, shown};
use crate::setup::key;

const NAMES: usize = 12;
const TASKS: u64 = 8;
const OPERATIONS: usize = 4_000;

struct Arena {
    names: ServiceRegistry,
    keys: Vec<ServiceKey<Command>>,
    over: AtomicBool,
    handed_over: AtomicUsize,
}

impl Arena {
    async fn operate(&self, mut dice: Rng) {
        for _ in 0..OPERATIONS {
            let key = &self.keys[dice.usize(..NAMES)];
            // A refused task has met another task.
            match dice.usize(..100) {
                0..25 => drop(self.names.spawn(key, Probe::default(), ()).await),
                25..45 => drop(self.names.register(key, &stranger().await).await),
                45..60 => drop(self.names.lookup(key).map(|actor| actor.kill())),
                60..70 => drop(self.names.lookup(key).map(|actor| actor.stop(None))),
                70..75 => drop(self.names.unregister(key)),
                75..85 => self.describe(key, dice.usize(..1_000_000)),
                _ => {
                    let handed = self.names.hand_over(key, &stranger().await);
                    self.handed_over.fetch_add(usize::from(handed.is_ok()), Ordering::Relaxed);
                }
            }
        }
    }

    fn describe(&self, key: &ServiceKey<Command>, what: usize) {
        if let Ok(owner) = self.names.lookup(key) {
            let differs = |before: Option<&Metadata>| before.is_none_or(|it| it.value() != what);
            let _ = self
                .names
                .update_metadata(key, &owner, |before| differs(before).then(|| Metadata::new(&what).unwrap()));
        }
    }

    /// Follows a watch until the other tasks are done and it is up to date, with this many yields after each item.
    async fn follow(&self, mut watch: Watch, rest: usize, concerns: impl Fn(&str) -> bool) -> Mirror {
        let mut mirror = Mirror::default();
        loop {
            if self.over.load(Ordering::SeqCst) && mirror.has == self.truth(&concerns) {
                return mirror;
            }
            mirror.believe(shown(&mut watch).await.unwrap());
            for _ in 0..rest {
                yield_now().await;
            }
        }
    }

    fn truth(
        &self,
        concerns: impl Fn(&str) -> bool,
    ) -> std::collections::BTreeMap<foundation::names::ServiceName, (foundation::ractor::ActorId, Option<Metadata>)>
    {
        let live = self.names.select(|service| concerns(service.name().as_str()));
        live.into_iter().map(|service| (service.name, (service.actor, service.metadata))).collect()
    }

    /// Opens watches during the changes, follows them for a while and drops them.
    fn come_and_go(&self) {
        while !self.over.load(Ordering::SeqCst) {
            let (mut watch, mut mirror) = (self.names.watch(), Mirror::default());
            for _ in 0..100 {
                match watch.next().now_or_never() {
                    Some(watched) => mirror.believe(watched.unwrap()),
                    None => std::thread::yield_now(),
                }
            }
        }
    }
}

async fn stranger() -> ActorRef<Command> {
    Actor::spawn(None, Probe::default(), ()).await.unwrap().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_watch_has_the_table_in_the_end_however_slow_it_is() {
    let (registry, names) = test_registry().await;
    let keys: Vec<_> = (0..NAMES).map(|n| key(format!("name_{n}"))).collect();
    let (over, handed_over) = (AtomicBool::new(false), AtomicUsize::new(0));
    let arena = Arc::new(Arena { names, keys, over, handed_over });

    let follow = |watch: Watch, rest: usize, only: Option<&'static str>| {
        let arena = Arc::clone(&arena);
        tokio::spawn(async move { arena.follow(watch, rest, |name| only.is_none_or(|only| only == name)).await })
    };
    let names = &arena.names;
    let fast = follow(names.watch().capacity(1_000_000), 0, None);
    let slow = follow(names.watch().capacity(64), 2, None);
    let slower = follow(names.watch().capacity(3), 20, None);
    let of_one = follow(names.watch_service(&arena.keys[3]).capacity(1_000_000), 1, Some("name_3"));
    // On a thread of its own, so that it comes in between the steps of the others.
    let visitor = std::thread::spawn({
        let arena = Arc::clone(&arena);
        move || arena.come_and_go()
    });
    let unread = names.watch().capacity(10);

    let operators: Vec<_> = (1..=TASKS)
        .map(|seed| {
            let arena = Arc::clone(&arena);
            tokio::spawn(async move { arena.operate(Rng::with_seed(seed)).await })
        })
        .collect();
    for operator in operators {
        operator.await.unwrap();
    }
    arena.over.store(true, Ordering::SeqCst);
    // One more change of each name, so that each waiter checks again.
    for key in &arena.keys {
        arena.describe(key, 1_000_000);
        drop(arena.names.spawn(key, Probe::default(), ()).await);
    }
    let (fast, slow, slower, of_one) =
        (fast.await.unwrap(), slow.await.unwrap(), slower.await.unwrap(), of_one.await.unwrap());
    visitor.join().unwrap();
    assert_eq!((fast.lagged, of_one.lagged), (0, 0));
    assert!(fast.changes > of_one.changes && of_one.changes > 0, "{} and {}", fast.changes, of_one.changes);
    assert!(slower.lagged > 0 && slow.changes + slow.lagged > 0);
    assert!(arena.handed_over.load(Ordering::Relaxed) > 100, "names went from hand to hand");
    drop(unread);
    registry.shutdown().await;
}

/// Each successful registration is reported, once and in its place, and so is its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_misses_nothing_also_if_it_begins_during_the_changes() {
    const ROUNDS: usize = 4_000;
    let (registry, names) = test_registry().await;
    let it: ServiceKey<Command> = key("it");
    let mut watch = names.watch_service(&it).capacity(1_000_000);
    let over = Arc::new(AtomicUsize::new(0));
    let mut coming_and_going = Vec::new();
    for _ in 0..2 {
        let (names, it, over, actor) = (names.clone(), it.clone(), Arc::clone(&over), stranger().await);
        coming_and_going.push(std::thread::spawn(move || {
            let mut registered = 0;
            // Continues until the visits are over as well.
            while registered < ROUNDS || over.load(Ordering::Relaxed) == 0 {
                registered += usize::from(names.register(&it, &actor).now_or_never().is_some_and(|done| done.is_ok()));
                names.unregister(&it);
            }
            registered
        }));
    }
    for _ in 0..500 {
        let (mut visit, mut mirror) = (names.watch_service(&it), Mirror::default());
        for _ in 0..4 {
            mirror.believe(shown(&mut visit).await.unwrap());
        }
    }
    over.store(1, Ordering::Relaxed);
    let registered: usize = coming_and_going.into_iter().map(|thread| thread.join().unwrap()).sum();
    let mut mirror = Mirror::default();
    names.cleanup().await.unwrap();
    while let Some(watched) = shown(&mut watch).await {
        mirror.believe(watched);
    }
    assert_eq!((mirror.changes, mirror.has.len(), mirror.lagged), (2 * registered, 0, 0));
    registry.shutdown().await;
}
