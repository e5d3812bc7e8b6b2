//! Blue-green replacements under callers that never pause: no call is refused, and none is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foundation::names::CallError;
use foundation_managed::Managed;
use tokio::task::JoinSet;

use crate::setup::{ClerkMsg, Clerks, DESK, World, desk, world};

/// How many callers there are.
const CALLERS: usize = 4;

#[derive(Default)]
struct Calls {
    answered: AtomicU64,
    refused: AtomicU64,
    lost: AtomicU64,
}

/// Replaces a service so often, or until the time is over, while it is called without a pause.
async fn replace_under_load(replacements: u64, time: Duration) -> (u64, [u64; 3]) {
    let world = world().await;
    world.started(&DESK, desk(1).checked()).await;
    let (calls, is_over) = (Arc::new(Calls::default()), Arc::new(AtomicBool::new(false)));
    let mut callers = JoinSet::new();
    (0..CALLERS).for_each(|_| drop(callers.spawn(call_without_pause(&world, &calls, &is_over))));
    let (begun, mut made) = (Instant::now(), 0);
    while made < replacements && begun.elapsed() < time {
        made += 1;
        let next = desk(made + 1).checked().replaced_by("blue_green");
        world.managed.configure::<Clerks>(&DESK, &next).await.unwrap();
    }
    is_over.store(true, Ordering::SeqCst);
    callers.join_all().await;
    assert_eq!(world.answer(&DESK).await, Ok(made + 1));
    world.registry.shutdown().await;
    let Calls { answered, refused, lost } = &*calls;
    (made, [answered, refused, lost].map(|count| count.load(Ordering::SeqCst)))
}

fn call_without_pause(
    world: &World,
    calls: &Arc<Calls>,
    is_over: &Arc<AtomicBool>,
) -> impl Future<Output = ()> + Send + use<> {
    let clerk = world.names.via(&Managed::key::<ClerkMsg>(&DESK).unwrap());
    let (calls, is_over) = (Arc::clone(calls), Arc::clone(is_over));
    async move {
        while !is_over.load(Ordering::SeqCst) {
            let count = match clerk.call(ClerkMsg::Ask, Duration::from_secs(60)).await {
                Ok(_) => &calls.answered,
                Err(CallError::NotDelivered(_)) => &calls.refused,
                Err(_) => &calls.lost,
            };
            count.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_call_is_refused_or_lost_while_a_service_is_replaced() {
    let (made, [answered, refused, lost]) = replace_under_load(1_000, Duration::from_secs(20)).await;
    assert_eq!((refused, lost), (0, 0), "of {answered} calls during {made} replacements");
    assert!(made > 0 && answered > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "takes minutes on a busy machine"]
async fn no_call_is_refused_or_lost_during_1000_replacements() {
    let (made, [answered, refused, lost]) = replace_under_load(1_000, Duration::from_secs(3_600)).await;
    assert_eq!((made, refused, lost), (1_000, 0, 0), "of {answered} calls");
}
