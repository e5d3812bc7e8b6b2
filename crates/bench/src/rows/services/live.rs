//! From the call of `append` to the moment at which a subscriber has the event.

use std::time::{Duration, Instant};

use foundation::EventStore;
use foundation::events::SubscriptionSpec;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::events::{OrderPayload, RunningStore, forget};
use crate::measured::Measured;
use crate::stage::{as_task, started};

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("subscribe_live", 1, live)]
}

fn live(contest: &mut Contest<'_>) -> Vec<Measured> {
    let kept = RunningStore::in_memory();
    let store = kept.store.clone();
    let ours = as_task(&kept.stage.runtime, move |operations| appended(operations, store.clone()));
    let peer = as_task(&kept.stage.runtime, sent);
    contest.between(ours, [Peer::new("a bare channel hop", 3.0, peer)])
}

/// The subscriber is a task that sleeps until it is woken, and reports when it has the event.
async fn appended(operations: u64, store: EventStore) -> Duration {
    let (saw, mut seen) = unbounded_channel();
    let subscription = started(store.subscribe(SubscriptionSpec::from_now()).await);
    let following = tokio::spawn(follow(subscription, saw));
    let mut took = Duration::ZERO;
    for order in 0..operations {
        let event = OrderPayload::new(order).event();
        let begun = Instant::now();
        started(store.append(event).await);
        took += started(seen.recv().await.ok_or("the follower is gone")) - begun;
    }
    following.abort();
    forget(&store).await;
    took
}

async fn follow(mut subscription: foundation::events::EventSubscription, saw: UnboundedSender<Instant>) {
    while let Some(_event) = started(subscription.next().await) {
        let _ = saw.send(Instant::now());
    }
}

/// The same with a channel in the place of the store.
async fn sent(operations: u64) -> Duration {
    let (saw, mut seen) = unbounded_channel();
    let (sender, mut receiver) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(_order) = receiver.recv().await {
            let _ = saw.send(Instant::now());
        }
    });
    let mut took = Duration::ZERO;
    for order in 0..operations {
        let order = OrderPayload::new(order);
        let begun = Instant::now();
        started(sender.send(order));
        took += started(seen.recv().await.ok_or("the receiver is gone")) - begun;
    }
    took
}
