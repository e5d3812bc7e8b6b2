//! Recording events: until each producer knows that its event is as durable as the store makes it.

use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use crate::bare_log::BareLog;
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::events::{OrderPayload, RunningStore, append, forget};
use crate::measured::Measured;
use crate::sample::{Batch, Sample};
use crate::stage::{Stage, as_task, divided, started};

pub(super) fn rows() -> Vec<BenchRow> {
    vec![
        BenchRow::new("event_append_1", 1, |contest| durable(contest, 1)),
        BenchRow::new("event_append_16", 1, |contest| durable(contest, 16)),
        BenchRow::new("event_append_256", 1, |contest| durable(contest, 256)),
        BenchRow::new("event_append_memory_16", 1, |contest| in_memory(contest, 16)).at_most(2_000.0),
    ]
}

fn durable(contest: &mut Contest<'_>, producers: u64) -> Vec<Measured> {
    let kept = RunningStore::in_file();
    let store = kept.store.clone();
    let ours = as_task(&kept.stage.runtime, move |operations| {
        let store = store.clone();
        async move { divided(operations, producers, move |order| append(store.clone(), order)).await }
    });
    contest.between(ours, [Peer::new("a bare rusqlite loop, as many rows a commit", 1.25, bare(producers))])
}

/// Commits of as many rows as there are producers: the most that they can have waiting, and what a group grows to while the
/// disk is busy with the group before.
fn bare(group: u64) -> Batch<'static> {
    let mut log = BareLog::new();
    Box::new(move |operations| {
        let begun = Instant::now();
        let mut left = operations;
        while left > 0 {
            let group = left.min(group);
            log.commit(group);
            left -= group;
        }
        Sample::Took(begun.elapsed())
    })
}

fn in_memory(contest: &mut Contest<'_>, producers: u64) -> Vec<Measured> {
    let kept = RunningStore::in_memory();
    let store = kept.store.clone();
    let ours = as_task(&kept.stage.runtime, move |operations| {
        let store = store.clone();
        async move {
            let kept = store.clone();
            let took = divided(operations, producers, move |order| append(kept.clone(), order)).await;
            forget(&store).await;
            took
        }
    });
    contest.between(ours, [Peer::shown("a task with a vector, asked through channels", asked(&kept.stage, producers))])
}

// ---- hand-written: for events that are never looked up again ----

struct AppendRequest(OrderPayload, oneshot::Sender<usize>);

fn asked(stage: &Stage, producers: u64) -> Batch<'static> {
    as_task(&stage.runtime, move |operations| async move {
        let (asker, mut requests) = mpsc::unbounded_channel::<AppendRequest>();
        tokio::spawn(async move {
            let mut orders = Vec::new();
            while let Some(AppendRequest(order, reply)) = requests.recv().await {
                orders.push(order);
                let _ = reply.send(orders.len());
            }
        });
        divided(operations, producers, move |order| ask(asker.clone(), order)).await
    })
}

async fn ask(asker: mpsc::UnboundedSender<AppendRequest>, order: u64) {
    let (reply, answer) = oneshot::channel();
    started(asker.send(AppendRequest(OrderPayload::new(order), reply)));
    started(answer.await);
}
