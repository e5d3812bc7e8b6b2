//! A store that records the end of a batch, does not say so, and shows nothing for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use foundation::events::{
    Append, Appended, Event, EventError, EventId, EventLog, EventReader, EventStorage, LogError, MemoryLog, PruneBound,
    SubscriptionName,
};
use foundation_managed::{Batch, BatchError};
use foundation_testkit::soon;

use crate::setup::{Clerks, DESK, DOOR, desk, world_in};

/// Keeps what is recorded also while it fails.
#[derive(Clone)]
pub(crate) struct SilentLog {
    log: MemoryLog,
    /// Whether the next end of a batch is recorded without an answer.
    is_silent: Arc<AtomicBool>,
    /// Whether the next event is.
    is_silent_once: Arc<AtomicBool>,
    may_open: Arc<AtomicBool>,
}

impl SilentLog {
    pub(crate) fn new() -> Self {
        let may_open = Arc::new(AtomicBool::new(true));
        Self { log: MemoryLog::new("production"), is_silent: Arc::default(), is_silent_once: Arc::default(), may_open }
    }

    /// Records the next event without an answer, and shows nothing until it opens.
    pub(crate) fn is_silent_once(&self) {
        self.is_silent_once.store(true, Ordering::SeqCst);
    }

    pub(crate) fn opens(&self) {
        self.may_open.store(true, Ordering::SeqCst);
    }

    pub(crate) fn storage(&self) -> EventStorage {
        let log = self.clone();
        EventStorage::with(move |_| match log.may_open.load(Ordering::SeqCst) {
            true => Ok(log.clone()),
            false => Err(LogError::new("opening", "the log", "not yet")),
        })
    }
}

impl EventLog for SilentLog {
    fn commit(&mut self, group: Vec<Append>, now: SystemTime) -> Result<Vec<Result<Appended, EventError>>, LogError> {
        let is_end = group.iter().flat_map(|append| &append.batch).any(|event| event.kind().as_str() == "batch_ended");
        let recorded = self.log.commit(group, now);
        let is_silent = is_end && self.is_silent.swap(false, Ordering::SeqCst);
        if is_silent || self.is_silent_once.swap(false, Ordering::SeqCst) {
            self.may_open.store(false, Ordering::SeqCst);
            return Err(LogError::new("recording", "the log", "it has failed"));
        }
        recorded
    }

    fn prune(&mut self, bound: PruneBound, keep_from: Option<EventId>, at_most: usize) -> Result<u64, LogError> {
        EventLog::prune(&mut self.log, bound, keep_from, at_most)
    }

    fn acknowledge(&mut self, subscription: &SubscriptionName, up_to: EventId) -> Result<(), LogError> {
        self.log.acknowledge(subscription, up_to)
    }

    fn forget_subscription(&mut self, subscription: &SubscriptionName) -> Result<bool, LogError> {
        self.log.forget_subscription(subscription)
    }

    fn import(&mut self, events: Vec<Event>) -> Result<Result<(), EventError>, LogError> {
        self.log.import(events)
    }

    fn reader(&self) -> Result<Box<dyn EventReader>, LogError> {
        EventLog::reader(&self.log)
    }
}

#[tokio::test]
async fn a_batch_whose_end_is_recorded_without_an_answer_is_not_undone() {
    let log = SilentLog::new();
    let first = world_in(log.storage()).await;
    first.started(&DOOR, desk(1)).await;
    first.started(&DESK, desk(2).replaced_by("blue_green")).await;
    log.is_silent.store(true, Ordering::SeqCst);
    let next = serde_json::to_value(desk(5).replaced_by("blue_green")).unwrap();
    let error = soon("an answer", first.managed.apply(Batch::new().configure(&DESK, next))).await.unwrap_err();
    assert!(matches!(error, BatchError::Unclear { .. }), "{error}");
    assert_eq!(first.answer(&DESK).await, Ok(5));

    log.may_open.store(true, Ordering::SeqCst);
    soon("the next request", first.managed.configure::<Clerks>(&DOOR, &desk(7))).await.unwrap();
    assert_eq!((first.answer(&DESK).await, first.answer(&DOOR).await), (Ok(5), Ok(7)));
    first.registry.shutdown().await;

    let second = world_in(log.storage()).await;
    second.becomes(&DESK, foundation_managed::ServiceStatus::Healthy).await;
    assert_eq!(second.answer(&DESK).await, Ok(5));
}
