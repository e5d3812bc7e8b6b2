//! Wakers are foreign code: whatever one does when it is woken, it blocks no other waiter.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;

use foundation::names::{GroupKey, Metadata, ServiceName, ServiceRegistry};
use foundation::ractor::ActorRef;
use foundation_testkit::{Command, Probe, SOON, test_registry};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::runtime::Handle;

use crate::setup::{OTHER, PROBE, foreign};

static LOCK: ServiceName = ServiceName::from_static("lock");
static GROUP: GroupKey<Command> = GroupKey::from_static("group");

/// Runs a function at each wake, and counts the wakes.
struct Meddler {
    woken: AtomicUsize,
    work: Box<dyn Fn() + Send + Sync>,
}

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Ordering::SeqCst);
        (self.work)();
    }
}

fn meddler(work: impl Fn() + Send + Sync + 'static) -> Arc<Meddler> {
    Arc::new(Meddler { woken: AtomicUsize::new(0), work: Box::new(work) })
}

/// Uses each table of a namespace, whatever the results.
fn use_everything(names: &ServiceRegistry) {
    let mut watches = [names.watch(), names.watch_service(&PROBE), names.watch_service(&OTHER)];
    watches.iter_mut().for_each(|watch| drop(watch.next().now_or_never()));
    drop(names.wait_for_service(&OTHER, SOON).now_or_never());
    drop(names.wait_until_free(&PROBE, SOON).now_or_never());
    drop(names.lock(&LOCK, async {}).now_or_never());
    drop(names.group(&GROUP).members());
    drop(names.lookup(&PROBE));
    drop(names.metadata(&PROBE));
    names.unregister(&OTHER);
}

/// One wait of each kind in a namespace where [`PROBE`] is taken.
fn waiting(names: &ServiceRegistry) -> Vec<BoxFuture<'static, ()>> {
    let (mut all, mut one) = (names.watch(), names.watch_service(&PROBE));
    drop((all.next().now_or_never(), one.next().now_or_never()));
    let [free, found, locked] = [names.clone(), names.clone(), names.clone()];
    vec![
        async move { drop(all.next().await) }.boxed(),
        async move { drop(one.next().await) }.boxed(),
        async move { drop(free.wait_until_free(&PROBE, SOON).await) }.boxed(),
        async move { drop(found.wait_for_service(&OTHER, SOON).await) }.boxed(),
        async move { drop(locked.lock(&LOCK, async {}).await) }.boxed(),
    ]
}

fn poll_all(futures: &mut [BoxFuture<'static, ()>], meddler: &Arc<Meddler>) {
    let waker = Waker::from(Arc::clone(meddler));
    for future in futures {
        assert!(future.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
    }
}

/// Runs the work on a thread of its own, so that a deadlock fails the test instead of hanging it.
fn does_not_hang(work: impl FnOnce() + Send + 'static) {
    let ((done, is_done), runtime) = (mpsc::channel(), Handle::current());
    thread::spawn(move || {
        let _runtime = runtime.enter();
        work();
        done.send(()).unwrap();
    });
    is_done.recv_timeout(SOON).expect("it deadlocks, or panics");
}

/// Makes every change that can be waited for.
fn change_everything(names: &ServiceRegistry, first: &ActorRef<Command>, second: &ActorRef<Command>) {
    drop(names.update_metadata(&PROBE, first, |_| Metadata::new("changed").ok()));
    drop(names.hand_over(&PROBE, second));
    names.unregister(&PROBE);
    names.register(&OTHER, second).now_or_never().expect("it need not wait").unwrap();
    names.unregister(&OTHER);
}

async fn probes() -> [ActorRef<Command>; 2] {
    [foreign(Probe::default()).await, foreign(Probe::default()).await]
}

/// Starts every wait with this waker, and makes every change.
async fn woken_by_changes(make: impl Fn(&ServiceRegistry) -> Arc<Meddler>) -> usize {
    let (_registry, names) = test_registry().await;
    let [first, second] = probes().await;
    names.register(&PROBE, &first).await.unwrap();
    let mut held = Box::pin(names.lock(&LOCK, std::future::pending::<()>()));
    assert!((&mut held).now_or_never().is_none());
    let meddler = make(&names);
    let mut futures = waiting(&names);
    poll_all(&mut futures, &meddler);
    drop(held);
    let changed = names.clone();
    does_not_hang(move || change_everything(&changed, &first, &second));
    meddler.woken.load(Ordering::SeqCst)
}

#[tokio::test]
async fn a_waker_may_use_the_namespace_that_wakes_it() {
    let woken = woken_by_changes(|names| {
        let names = names.clone();
        meddler(move || use_everything(&names))
    });
    assert!(woken.await >= 5);
}

#[tokio::test]
async fn a_waker_that_panics_harms_neither_its_caller_nor_other_waiters() {
    assert!(woken_by_changes(|_| meddler(|| panic!("the waker panics"))).await >= 5);
}

/// The same wakers, and the end of the namespace instead of changes.
#[tokio::test]
async fn a_waker_may_use_the_namespace_whose_end_wakes_it_and_panic() {
    for panics in [false, true] {
        let (registry, names) = test_registry().await;
        let [first, _] = probes().await;
        names.register(&PROBE, &first).await.unwrap();
        let held = names.clone();
        let mut held = Box::pin(held.lock(&LOCK, std::future::pending::<()>()));
        assert!((&mut held).now_or_never().is_none());
        let user = names.clone();
        let meddler = meddler(move || {
            use_everything(&user);
            assert!(!panics, "the waker panics");
        });
        let mut futures = waiting(&names);
        poll_all(&mut futures, &meddler);
        tokio::time::timeout(SOON, names.cleanup()).await.expect("it hangs").unwrap();
        assert!(meddler.woken.load(Ordering::SeqCst) >= 5, "all hear of the end");
        for future in &mut futures {
            assert!(future.now_or_never().is_some());
        }
        assert!(registry.namespaces().is_empty());
    }
}

type Watching = Arc<Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>>;

/// A waiting future is dropped by its own waker.
#[tokio::test]
async fn a_waker_may_drop_its_own_future() {
    for nth in 0..5 {
        let (_registry, names) = test_registry().await;
        let [first, second] = probes().await;
        names.register(&PROBE, &first).await.unwrap();
        let mut held = Box::pin(names.lock(&LOCK, std::future::pending::<()>()));
        assert!((&mut held).now_or_never().is_none());
        let own: Watching = Arc::default();
        let dropped = Arc::clone(&own);
        let meddler = meddler(move || drop(dropped.lock().unwrap().take()));
        let mut future = waiting(&names).swap_remove(nth);
        poll_all(std::slice::from_mut(&mut future), &meddler);
        *own.lock().unwrap() = Some(future);
        drop(held);
        let changed = names.clone();
        does_not_hang(move || change_everything(&changed, &first, &second));
        assert!(meddler.woken.load(Ordering::SeqCst) > 0);
        assert!(own.lock().unwrap().is_none());
    }
}

/// A waker is dropped when it is replaced, or when its waiting future is removed.
#[tokio::test]
async fn the_destructor_of_a_waker_may_use_the_namespace() {
    struct Last(ServiceRegistry);
    impl Drop for Last {
        fn drop(&mut self) {
            use_everything(&self.0);
            panic!("the destructor of the waker panics");
        }
    }
    let (_registry, names) = test_registry().await;
    let [first, second] = probes().await;
    names.register(&PROBE, &first).await.unwrap();
    let mut held = Box::pin(names.lock(&LOCK, std::future::pending::<()>()));
    assert!((&mut held).now_or_never().is_none());
    for ends in [false, true] {
        let last = Last(names.clone());
        let meddler = meddler(move || drop(last.0.list_services()));
        let (mut futures, names) = (waiting(&names), names.clone());
        poll_all(&mut futures, &meddler);
        drop(meddler);
        let (first, second) = (first.clone(), second.clone());
        does_not_hang(move || {
            match ends {
                // Replaced by another waker, and then removed.
                false => futures.iter_mut().for_each(|future| assert!(future.now_or_never().is_none())),
                true => change_everything(&names, &first, &second),
            }
            drop(futures);
        });
    }
}

/// tokio wakes the waiters of one fact in batches, and a panic in the middle leaves the rest of the batch asleep.
#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_keeps_the_end_of_a_tree_and_of_an_actor_from_no_other_waiter() {
    let (registry, names) = test_registry().await;
    let application = names.application().unwrap();
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let (registry_too, application_too, via) = (registry.clone(), application.clone(), names.via(&PROBE));
    let mut first: Vec<BoxFuture<'static, ()>> = vec![
        async move { registry_too.wait_until_gone().await }.boxed(),
        async move { application_too.wait_until_gone().await }.boxed(),
        async move { drop(via.call(Command::Keep, SOON).await) }.boxed(),
    ];
    let panics = meddler(|| panic!("the waker panics"));
    poll_all(&mut first, &panics);

    let (tree, via) = (registry.clone(), names.via(&PROBE));
    let others = [
        tokio::spawn(async move { tree.wait_until_gone().await }),
        tokio::spawn(async move { application.wait_until_gone().await }),
        tokio::spawn(async move { drop(via.call(Command::Keep, SOON).await) }),
    ];
    tokio::task::yield_now().await;
    actor.kill();
    registry.shutdown().await;
    for other in others {
        tokio::time::timeout(SOON, other).await.unwrap().unwrap();
    }
    assert!(panics.woken.load(Ordering::SeqCst) >= 3);
}
