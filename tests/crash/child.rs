//! The process that is killed: sixteen tasks that append through the store and print each append when it is answered.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use foundation::events::{EventId, EventStorage, EventStoreError, Retention};
use foundation::{EventStore, Foundation};
use tokio::task::JoinSet;

use super::mark::{Acknowledged, Mark};

pub(crate) const TASKS: u32 = 16;
/// The store repeatedly removes all but this many events.
pub(crate) const KEPT: u64 = 2_000;
const LOOK: Duration = Duration::from_millis(20);

/// Ends when it is killed, or when every task was refused an append.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
pub(crate) async fn append_for_life(life: u32, directory: &Path) {
    let storage = EventStorage::sqlite(directory).retention(Retention::new().max_count(KEPT).every(LOOK));
    let foundation = Foundation::builder().events(storage).start().await.unwrap();
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let store = foundation.events().clone();
        tasks.spawn(async move {
            let Err(failure) = append(&store, life, task).await;
            say("failed", &failure.to_string());
        });
    }
    tasks.join_all().await;
}

enum Never {}

async fn append(store: &EventStore, life: u32, task: u32) -> Result<Never, EventStoreError> {
    for number in 0.. {
        let first = Mark::of(life, task, number);
        let ids = once(store, first).await?;
        if first.has_key() {
            let again = once(store, first).await?;
            if again != ids {
                say("failed", &format!("{first:?} is recorded as {ids:?} and as {again:?}"));
            }
        }
        say("ack", &serde_json::to_string(&Acknowledged { first, ids }).unwrap());
    }
    unreachable!("the numbers do not end")
}

/// One append, alone or as a batch.
pub(crate) async fn once(store: &EventStore, first: Mark) -> Result<Vec<EventId>, EventStoreError> {
    let mut events = first.events();
    match events.len() {
        1 => Ok(vec![store.append(events.remove(0)).await?]),
        _ => store.append_batch(events).await,
    }
}

/// In one write, so that a kill loses whole lines only.
fn say(what: &str, text: &str) {
    std::io::stdout().lock().write_all(format!("{what} {text}\n").as_bytes()).unwrap();
}
