//! Elixir's tests of the registry's locks and of its clean-up: CONFORMANCE, section 2.1.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foundation::Namespace;
use foundation::names::{GroupKey, RegistryError, ServiceName, ServiceRegistry};
use foundation::ractor::Actor;
use foundation_testkit::{Command, Gate, Puppet, test_registry};
use futures::FutureExt;
use tokio::task::{JoinHandle, JoinSet, yield_now};

use crate::ending::Ending;
use crate::setup::{OTHER, PROBE};

static A: ServiceName = ServiceName::from_static("a");
static B: ServiceName = ServiceName::from_static("b");

/// A task that has the lock, until the gate opens or it is aborted.
async fn holder(names: &ServiceRegistry, gate: &Gate) -> JoinHandle<Result<(), RegistryError>> {
    let (names, at) = (names.clone(), gate.clone());
    let holder = tokio::spawn(async move { names.lock(&A, at.pass()).await });
    gate.arrival().await;
    holder
}

/// Whether a lock is available at once.
fn is_free(names: &ServiceRegistry, name: &ServiceName) -> bool {
    names.lock(name, async {}).now_or_never().is_some_and(|locked| locked.is_ok())
}

/// Names and memberships alike; see `reg_cleans_up_when_the_process_crashes` for the other cases of names.
#[tokio::test]
async fn reg_2_1_cleans_up_when_the_process_crashes() {
    const GROUP: GroupKey<Command> = GroupKey::from_static("group");
    for ending in Ending::ALL {
        let (registry, names) = test_registry().await;
        let gate = Gate::new();
        let (actor, task) = Actor::spawn(None, ending.probe(&Puppet::default(), &gate), ()).await.unwrap();
        names.register(&PROBE, &actor).await.unwrap();
        names.register(&OTHER, &actor).await.unwrap();
        names.group(&GROUP).join(&actor).unwrap();
        ending.bring_about(&actor, &gate).await;
        task.await.unwrap();
        assert!(names.list_services().is_empty() && names.groups().is_empty(), "{ending:?}");
        registry.namespace(Namespace::test()).await.unwrap();
        assert_eq!(registry.stats().total, 0, "{ending:?}");
    }
}

#[tokio::test]
async fn reg_2_1_lock_does_not_block_other_keys() {
    let (_registry, names) = test_registry().await;
    let gate = Gate::new();
    let holder = holder(&names, &gate).await;
    assert_eq!(names.lock(&B, async { 7 }).await.unwrap(), 7);
    assert!(!is_free(&names, &A));
    gate.open();
    holder.await.unwrap().unwrap();
}

#[tokio::test]
async fn reg_2_1_lock_blocks_the_same_key() {
    let (_registry, names) = test_registry().await;
    let (gate, inside) = (Gate::new(), AtomicUsize::new(0));
    let holder = holder(&names, &gate).await;
    let mut waiting = Box::pin(names.lock(&A, async { inside.fetch_add(1, Ordering::SeqCst) }));
    assert!((&mut waiting).now_or_never().is_none());
    assert_eq!(inside.load(Ordering::SeqCst), 0);
    gate.open();
    holder.await.unwrap().unwrap();
    waiting.await.unwrap();
    assert_eq!(inside.load(Ordering::SeqCst), 1);
    assert!(is_free(&names, &A));
}

#[tokio::test]
async fn reg_2_1_lock_is_released_when_its_holder_panics() {
    let (_registry, names) = test_registry().await;
    let gate = Gate::new();
    let holder = tokio::spawn({
        let (names, gate) = (names.clone(), gate.clone());
        async move {
            let panics = async {
                gate.pass().await;
                std::panic::resume_unwind(Box::new("ordered to panic"))
            };
            names.lock::<()>(&A, panics).await
        }
    });
    gate.arrival().await;
    let mut waiting = Box::pin(names.lock(&A, async {}));
    assert!((&mut waiting).now_or_never().is_none());
    gate.open();
    assert!(holder.await.unwrap_err().is_panic());
    waiting.await.unwrap();
}

#[tokio::test]
async fn reg_2_1_lock_is_released_when_its_holder_is_cancelled() {
    let (_registry, names) = test_registry().await;
    let gate = Gate::new();
    let holder = holder(&names, &gate).await;
    let mut waiting = Box::pin(names.lock(&A, async {}));
    assert!((&mut waiting).now_or_never().is_none());
    holder.abort();
    assert!(holder.await.unwrap_err().is_cancelled());
    waiting.await.unwrap();
    assert!(is_free(&names, &A));
}

#[tokio::test]
async fn reg_2_1_lock_survives_a_waiter_that_is_cancelled() {
    let (_registry, names) = test_registry().await;
    let gate = Gate::new();
    let holder = holder(&names, &gate).await;
    let mut order = Vec::new();
    {
        let [first, second, third] = [1, 2, 3].map(|n| Box::pin(names.lock(&A, async move { n })));
        let (mut first, mut second, mut third) = (first, second, third);
        for waiting in [&mut first, &mut second, &mut third] {
            assert!(waiting.now_or_never().is_none());
        }
        drop(second);
        gate.open();
        holder.await.unwrap().unwrap();
        assert!((&mut third).now_or_never().is_none(), "it is not its turn");
        order.push(first.await.unwrap());
        order.push(third.await.unwrap());
    }
    assert_eq!(order, [1, 3]);
    assert!(is_free(&names, &A));
}

#[tokio::test]
async fn a_waiter_for_a_lock_is_notified_when_the_namespace_ends_and_the_holder_keeps_it() {
    let (_registry, names) = test_registry().await;
    let gate = Gate::new();
    let holder = holder(&names, &gate).await;
    let mut polled = false;
    let mut waiting = Box::pin(names.lock(&A, async { polled = true }));
    assert!((&mut waiting).now_or_never().is_none());
    names.cleanup().await.unwrap();
    let refused = waiting.await.unwrap_err();
    assert!(matches!(refused, RegistryError::NotRunning { .. }), "{refused}");
    assert!(!polled);
    gate.open();
    holder.await.unwrap().unwrap();
    let refused = names.lock(&B, async {}).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("namespace {} is not running", names.namespace()));
}

#[tokio::test]
async fn a_lock_belongs_to_its_namespace() {
    let (registry, names) = test_registry().await;
    let gate = Gate::new();
    let holder = holder(&names, &gate).await;
    let other = registry.namespace(Namespace::test()).await.unwrap();
    assert!(is_free(&other, &A));
    gate.open();
    holder.await.unwrap().unwrap();
}

/// Two names, many tasks on several threads, some of them cancelled while they wait or while they hold the lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lock_has_one_holder_at_a_time() {
    let (_registry, names) = test_registry().await;
    let inside = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let mut tasks = JoinSet::new();
    for n in 0..2_000_usize {
        let (names, inside) = (names.clone(), Arc::clone(&inside));
        let task = tasks.spawn(async move {
            let section = async {
                let entered = Inside::enter(&inside[n % 2]);
                yield_now().await;
                drop(entered);
            };
            names.lock([&A, &B][n % 2], section).await.unwrap();
        });
        if n % 3 == 0 {
            task.abort();
        }
        if n % 64 == 0 {
            yield_now().await;
        }
    }
    while let Some(ended) = tasks.join_next().await {
        assert!(ended.as_ref().is_ok() || ended.unwrap_err().is_cancelled());
    }
    assert!(is_free(&names, &A) && is_free(&names, &B));
}

struct Inside<'a>(&'a AtomicUsize);

impl<'a> Inside<'a> {
    fn enter(inside: &'a AtomicUsize) -> Self {
        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "another task is inside");
        Self(inside)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_not_reentrant_and_is_free_after_a_cancellation() {
    let (_registry, names) = test_registry().await;
    static TWICE: ServiceName = ServiceName::from_static("twice");
    let nested = names.lock(&TWICE, names.lock(&TWICE, async {}));
    assert!(tokio::time::timeout(std::time::Duration::from_secs(3_600), nested).await.is_err(), "it waits for ever");
    names.lock(&TWICE, async {}).await.unwrap();
}
