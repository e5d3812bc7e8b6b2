//! Shared by the rows about events: an event store alone in a namespace, and the events that it gets.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use foundation::events::{EventKind, EventStorage, SqliteLog, SqliteOptions};
use foundation::{EventStore, NewEvent};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::stage::{Stage, started};

pub(crate) const KIND: &str = "order_placed";
pub(crate) const SERVICE: &str = "shop";
pub(crate) const NAMESPACE: &str = "production";

/// The payload of an event: some 70 bytes of JSON.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct OrderPayload {
    order: u64,
    item: &'static str,
    quantity: u32,
    price: f64,
}

impl OrderPayload {
    pub(crate) fn new(order: u64) -> Self {
        Self { order: 1_000_000 + order, item: "darjeeling, first flush", quantity: 3, price: 12.25 }
    }

    pub(crate) fn event(self) -> NewEvent {
        started(NewEvent::of(const { EventKind::from_static(KIND) }).source(SERVICE).payload(self))
    }
}

/// A running event store, which ends when this is dropped.
pub(crate) struct RunningStore {
    pub(crate) stage: Stage,
    pub(crate) store: EventStore,
    file: Option<EventFile>,
}

/// A file of events in a directory that is removed with it.
pub(crate) struct EventFile {
    pub(crate) path: PathBuf,
    _directory: TempDir,
}

impl EventFile {
    /// The directory is the system's for temporary files: the disk's time for a commit is part of what is measured.
    pub(crate) fn new() -> Self {
        let directory = started(TempDir::with_prefix("foundation-bench-"));
        Self { path: directory.path().join("events.db"), _directory: directory }
    }

    /// The same, with the tables and indexes of an event store in it.
    pub(crate) fn with_tables() -> Self {
        let file = Self::new();
        drop(started(open(&file.path)));
        file
    }
}

/// The default durability of events.
fn open(path: &Path) -> Result<SqliteLog, foundation::events::LogError> {
    SqliteLog::open(path, NAMESPACE, SqliteOptions::default())
}

impl RunningStore {
    pub(crate) fn in_memory() -> Self {
        Self::start(&EventStorage::memory(), None)
    }

    pub(crate) fn in_file() -> Self {
        let file = EventFile::new();
        let path = file.path.clone();
        Self::start(&EventStorage::with(move |_| open(&path)), Some(file))
    }

    fn start(storage: &EventStorage, file: Option<EventFile>) -> Self {
        let stage = Stage::set();
        let spec = EventStore::child_spec(&stage.registry, storage);
        started(stage.runtime.block_on(stage.registry.supervise(spec)));
        let store = EventStore::of(&stage.registry);
        Self { stage, store, file }
    }

    /// The path of the store's file, if it has one.
    pub(crate) fn path(&self) -> &Path {
        &started(self.file.as_ref().ok_or("the events are in memory")).path
    }

    /// Appends this many events, a hundred at a time.
    pub(crate) fn fill(&self, events: u64) {
        let orders: Vec<_> = (0..events).collect();
        for batch in orders.chunks(100) {
            let batch = batch.iter().map(|order| OrderPayload::new(*order).event()).collect();
            started(self.stage.runtime.block_on(self.store.append_batch(batch)));
        }
    }
}

/// Appends one event.
pub(crate) async fn append(store: EventStore, order: u64) {
    started(store.append(OrderPayload::new(order).event()).await);
}

/// Removes all events, so that a log in memory does not grow from one repetition to the next.
pub(crate) async fn forget(store: &EventStore) {
    started(store.prune_before(SystemTime::now() + Duration::from_secs(1)).await);
}

impl Drop for RunningStore {
    fn drop(&mut self) {
        // The file is closed before its directory is removed.
        let end = async { started(self.stage.registry.application()).terminate_child(EventStore::NAME.as_str()).await };
        started(self.stage.runtime.block_on(end));
    }
}
