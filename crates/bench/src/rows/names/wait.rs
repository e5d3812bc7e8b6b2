//! From the registration of a name to the moment at which a task that waited for it runs.
//!
//! The waiter is a task that sleeps until it is woken, and its worker thread with it; the waker is a thread outside the
//! runtime. So each wake includes the wake-up of a thread, and no thread spins.

use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use foundation::ServiceKey;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::actors::EchoMsg;
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::sample::{Batch, Sample};
use crate::stage::{Stage, started};

static KEY: ServiceKey<EchoMsg> = ServiceKey::from_static("awaited");
const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("wait_wake", 1, wait_wake)]
}

fn wait_wake(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let (_, actor) = stage.spawn_bare("echo");
    let waiter = stage.registry.clone();
    let wait = move || {
        let registry = waiter.clone();
        async move { drop(started(registry.wait_for_service(&KEY, LIMIT).await)) }
    };
    let registry = &stage.registry;
    // The name is free, so the registration does not wait.
    let register = move || started(futures::executor::block_on(registry.register(&KEY, &actor)));
    let ours = wakes(&stage.runtime, wait, register, || assert!(registry.unregister(&KEY)));

    let notify = Arc::new(Notify::new());
    let waiting = Arc::clone(&notify);
    let wait = move || Arc::clone(&waiting).notified_owned();
    let peer = wakes(&stage.runtime, wait, move || notify.notify_one(), || ());
    contest.between(ours, [Peer::new("a bare Notify", 1.8, peer)])
}

/// Lets a task wait, wakes it, and sums up the durations until the task runs.
fn wakes<'a, F>(
    runtime: &Arc<Runtime>,
    wait: impl Fn() -> F + 'a,
    wake: impl Fn() + 'a,
    tidy: impl Fn() + 'a,
) -> Batch<'a>
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = Arc::clone(runtime);
    Box::new(move |operations| {
        let mut took = Duration::ZERO;
        for _ in 0..operations {
            let (sender, times) = mpsc::channel();
            runtime.spawn(wait_and_report(wait(), sender));
            let waiting_since = started(times.recv());
            let begun = Instant::now().max(waiting_since);
            wake();
            took += started(times.recv()).saturating_duration_since(begun);
            tidy();
        }
        Sample::Took(took)
    })
}

/// Sends the time at which it starts to wait, and the time at which it was woken.
async fn wait_and_report(waiting: impl Future<Output = ()>, sender: mpsc::Sender<Instant>) {
    let mut waiting = pin!(waiting);
    assert!(futures::poll!(&mut waiting).is_pending(), "there is nothing to wait for");
    let _ = sender.send(Instant::now());
    waiting.await;
    let _ = sender.send(Instant::now());
}
