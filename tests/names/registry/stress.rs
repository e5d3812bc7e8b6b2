//! Eight tasks and a killer on a hundred names, on several threads; afterwards the table matches the live actors.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use fastrand::Rng;
use foundation::names::{CallError, ProcessRegistry, RegistryError, ServiceRegistry};
use foundation::ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, ActorStatus, RpcReplyPort};
use foundation::{Namespace, ServiceKey};
use foundation_testkit::{SOON, alive_tasks, until};
use tokio::task::yield_now;

use crate::setup::key;

const NAMES: usize = 100;
const TASKS: u64 = 8;
const OPERATIONS: usize = 10_000;

/// The test's own knowledge of one name.
///
/// `unregister` lets an actor live on without its name, so such an actor may overlap with its successor. It does not
/// return which actor it affected; so every actor that was present during an unregistration is excused.
#[derive(Default)]
struct Book {
    inside: Vec<(ActorId, bool)>,
    holders: Vec<(ActorRef<TenantMsg>, bool)>,
    unregistering: usize,
    unregistered: usize,
    overlaps: Vec<String>,
}

impl Book {
    fn unexcused(&self) -> Vec<ActorId> {
        let here = self.inside.iter().filter(|(_, excused)| !excused && self.unregistering == 0);
        here.map(|(actor, _)| *actor).collect()
    }
}

type Page = Arc<Mutex<Book>>;

/// One incarnation, from the beginning of its start to the end of its last destructor.
#[derive(Clone)]
struct Presence(#[expect(dead_code, reason = "held for its drop")] Arc<Inside>);

struct Inside {
    page: Page,
    actor: ActorId,
}

impl Presence {
    fn begin(page: &Page, actor: ActorId) -> Self {
        let mut book = page.lock().unwrap();
        let others = book.unexcused();
        if !others.is_empty() {
            book.overlaps.push(format!("{actor} began while {others:?} was there"));
        }
        book.inside.push((actor, false));
        Self(Arc::new(Inside { page: Arc::clone(page), actor }))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.page.lock().unwrap().inside.retain(|(actor, _)| *actor != self.actor);
    }
}

/// Marks its actor as present for as long as it exists, if the actor was started under a name.
#[derive(Default)]
struct Tenant {
    page: Option<Page>,
    presence: OnceLock<Presence>,
}

enum TenantMsg {
    Work,
    Who(RpcReplyPort<ActorId>),
    Panic,
    Fail,
}
foundation::local_message!(TenantMsg);

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Tenant {
    type Msg = TenantMsg;
    type State = Option<Presence>;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<TenantMsg>, (): ()) -> Result<Option<Presence>, ActorProcessingErr> {
        let Some(page) = &self.page else { return Ok(None) };
        let presence = self.presence.get_or_init(|| Presence::begin(page, myself.get_id())).clone();
        yield_now().await;
        Ok(Some(presence))
    }

    async fn post_stop(&self, _: ActorRef<TenantMsg>, _: &mut Option<Presence>) -> Result<(), ActorProcessingErr> {
        yield_now().await;
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<TenantMsg>,
        message: TenantMsg,
        _: &mut Option<Presence>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            TenantMsg::Work => {}
            TenantMsg::Who(reply) => drop(reply.send(myself.get_id())),
            // Bypasses the panic hook, which would print thousands of backtraces.
            TenantMsg::Panic => std::panic::resume_unwind(Box::new("ordered to panic")),
            TenantMsg::Fail => return Err("ordered to fail".into()),
        }
        Ok(())
    }
}

struct Arena {
    names: ServiceRegistry,
    keys: Vec<ServiceKey<TenantMsg>>,
    pages: Vec<Page>,
    over: AtomicBool,
    killed: AtomicUsize,
    outsiders: Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

impl Arena {
    async fn spawn(&self, n: usize) {
        let before = self.pages[n].lock().unwrap().unregistered;
        let tenant = Tenant { page: Some(Arc::clone(&self.pages[n])), presence: OnceLock::new() };
        match self.names.spawn(&self.keys[n], tenant, ()).await {
            Ok(actor) => self.note_holder(n, actor, before),
            Err(RegistryError::AlreadyRegistered { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }

    async fn register(&self, n: usize) {
        let before = self.pages[n].lock().unwrap().unregistered;
        let (actor, task) = Actor::spawn(None, Tenant::default(), ()).await.unwrap();
        self.outsiders.lock().unwrap().push(task);
        match self.names.register(&self.keys[n], &actor).await {
            Ok(()) => {
                let others = self.pages[n].lock().unwrap().unexcused();
                // If it still has the name, it had it when the others were counted.
                let still = self.names.lookup(&self.keys[n]).is_ok_and(|holder| holder.get_id() == actor.get_id());
                assert!(!still || others.is_empty(), "registered while {others:?} was there");
                self.note_holder(n, actor, before);
            }
            Err(RegistryError::AlreadyRegistered { .. }) => actor.stop(None),
            Err(other) => panic!("{other}"),
        }
    }

    fn note_holder(&self, n: usize, actor: ActorRef<TenantMsg>, unregistered_before: usize) {
        let mut book = self.pages[n].lock().unwrap();
        book.holders.retain(|(holder, _)| holder.get_status() < ActorStatus::Stopped);
        let excused = book.unregistered != unregistered_before || book.unregistering > 0;
        book.holders.push((actor, excused));
    }

    fn unregister(&self, n: usize) {
        self.pages[n].lock().unwrap().unregistering += 1;
        let done = self.names.unregister(&self.keys[n]);
        let mut book = self.pages[n].lock().unwrap();
        book.unregistering -= 1;
        if done {
            book.unregistered += 1;
            book.inside.iter_mut().for_each(|(_, excused)| *excused = true);
            book.holders.iter_mut().for_each(|(_, excused)| *excused = true);
        }
    }

    async fn operate(&self, mut dice: Rng) {
        let vias: Vec<_> = self.keys.iter().map(|key| self.names.via(key)).collect();
        for _ in 0..OPERATIONS {
            let n = dice.usize(..NAMES);
            match dice.usize(..100) {
                0..25 => drop(self.names.lookup(&self.keys[n])),
                25..45 => drop(self.names.with(&self.keys[n], |actor| actor.get_id())),
                45..60 => drop(vias[n].cast(TenantMsg::Work)),
                60..65 => match vias[n].call(TenantMsg::Who, SOON).await {
                    Ok(_) | Err(CallError::NotDelivered(_) | CallError::NoReply { .. }) => {}
                    Err(other) => panic!("{other}"),
                },
                65..85 => self.spawn(n).await,
                85..95 => self.register(n).await,
                _ => self.unregister(n),
            }
        }
    }

    async fn kill(&self, mut dice: Rng) {
        while !self.over.load(Ordering::Relaxed) {
            if let Ok(actor) = self.names.lookup(&self.keys[dice.usize(..NAMES)]) {
                match dice.usize(..6) {
                    0 | 1 => actor.kill(),
                    2 => actor.stop(None),
                    3 => drop(actor.cast(TenantMsg::Panic)),
                    4 => drop(actor.cast(TenantMsg::Fail)),
                    _ => drop(actor.drain()),
                }
                self.killed.fetch_add(1, Ordering::Relaxed);
            }
            yield_now().await;
        }
    }

    /// Waits until the actors that were asked to end have ended: the rest answers.
    async fn settle(&self) {
        let all: Vec<_> = self.pages.iter().flat_map(|page| page.lock().unwrap().holders.clone()).collect();
        for (actor, _) in all {
            if actor.call(TenantMsg::Who, None).await.is_err() || actor.get_status() >= ActorStatus::Draining {
                actor.wait(None).await.unwrap();
            }
        }
    }

    fn assert_table_is_exact(&self) -> usize {
        let mut live = 0;
        for (key, page) in self.keys.iter().zip(&self.pages) {
            let book = page.lock().unwrap();
            assert!(book.overlaps.is_empty(), "{key}: {:?}", book.overlaps);
            let holder = self.names.lookup(key).ok().map(|holder| holder.get_id());
            let alive: Vec<_> =
                book.holders.iter().filter(|(actor, _)| actor.get_status() < ActorStatus::Draining).collect();
            if let Some(holder) = holder {
                live += 1;
                assert!(alive.iter().any(|(actor, _)| actor.get_id() == holder), "{key}: {holder} is not alive");
            }
            for (actor, excused) in alive {
                assert!(*excused || Some(actor.get_id()) == holder, "{key}: {} lost its name", actor.get_id());
            }
        }
        live
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_table_is_exactly_the_set_of_live_holders_after_eighty_thousand_operations() {
    let idle = alive_tasks();
    let registry = ProcessRegistry::start().await.unwrap();
    let arena = Arc::new(Arena {
        names: registry.namespace(Namespace::test()).await.unwrap(),
        keys: (0..NAMES).map(|n| key(format!("name_{n}"))).collect(),
        pages: (0..NAMES).map(|_| Page::default()).collect(),
        over: AtomicBool::new(false),
        killed: AtomicUsize::new(0),
        outsiders: Mutex::default(),
    });
    let killer = tokio::spawn({
        let arena = Arc::clone(&arena);
        async move { arena.kill(Rng::with_seed(0)).await }
    });
    let operators: Vec<_> = (1..=TASKS)
        .map(|seed| {
            let arena = Arc::clone(&arena);
            tokio::spawn(async move { arena.operate(Rng::with_seed(seed)).await })
        })
        .collect();
    for operator in operators {
        operator.await.unwrap();
    }
    arena.over.store(true, Ordering::Relaxed);
    killer.await.unwrap();
    assert!(arena.killed.load(Ordering::Relaxed) > 100, "the killer had no part in it");

    arena.settle().await;
    let live = arena.assert_table_is_exact();
    assert_eq!(arena.names.list_services().len(), live);
    // The process registry has read of the ends of foreign actors when it has opened and closed another namespace; the
    // leases of our own go back on other threads, just after their actors' status is `Stopped`.
    registry.namespace(Namespace::test()).await.unwrap().cleanup().await.unwrap();
    until("a table with no name but the live ones", async || registry.stats().total == live).await;

    arena.names.cleanup().await.unwrap();
    assert_eq!(registry.stats().total, 0);
    assert!(arena.pages.iter().all(|page| page.lock().unwrap().inside.is_empty()));
    for page in &arena.pages {
        page.lock().unwrap().holders.iter().for_each(|(actor, _)| actor.stop(None));
    }
    let outsiders = std::mem::take(&mut *arena.outsiders.lock().unwrap());
    for outsider in outsiders {
        outsider.await.unwrap();
    }
    registry.shutdown().await;
    until("the end of all tasks", async || alive_tasks() == idle).await;
}
