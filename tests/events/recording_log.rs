//! A log that records its calls, and may be full.

use std::time::SystemTime;

use foundation::events::{
    Append, Appended, Event, EventError, EventId, EventLog, EventReader, EventStorage, LogError, MemoryLog, PruneBound,
    SubscriptionName,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A call of a log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LogCall {
    Acknowledge(u64),
    Maintain { more: bool },
}

#[derive(Clone)]
pub(super) struct RecordingLog {
    kept: MemoryLog,
    calls: UnboundedSender<LogCall>,
    upkeep: u32,
    is_full: bool,
}

impl RecordingLog {
    pub(super) fn new() -> (Self, UnboundedReceiver<LogCall>) {
        let (calls, received) = unbounded_channel();
        (Self { kept: MemoryLog::new("production"), calls, upkeep: 0, is_full: false }, received)
    }

    /// The number of times that more upkeep is left.
    pub(super) fn with_upkeep(self, upkeep: u32) -> Self {
        Self { upkeep, ..self }
    }

    /// Makes its pruning fail.
    pub(super) fn full(self) -> Self {
        Self { is_full: true, ..self }
    }

    pub(super) fn storage(&self) -> EventStorage {
        let log = self.clone();
        EventStorage::with(move |_| Ok(log.clone()))
    }
}

impl EventLog for RecordingLog {
    fn commit(&mut self, group: Vec<Append>, now: SystemTime) -> Result<Vec<Result<Appended, EventError>>, LogError> {
        self.kept.commit(group, now)
    }

    fn prune(&mut self, bound: PruneBound, keep_from: Option<EventId>, at_most: usize) -> Result<u64, LogError> {
        match self.is_full {
            true => Err(LogError::new("pruning", "/dev/full", "no space left on device")),
            false => EventLog::prune(&mut self.kept, bound, keep_from, at_most),
        }
    }

    fn acknowledge(&mut self, subscription: &SubscriptionName, up_to: EventId) -> Result<(), LogError> {
        let _ = self.calls.send(LogCall::Acknowledge(up_to.get()));
        self.kept.acknowledge(subscription, up_to)
    }

    fn forget_subscription(&mut self, subscription: &SubscriptionName) -> Result<bool, LogError> {
        self.kept.forget_subscription(subscription)
    }

    fn import(&mut self, events: Vec<Event>) -> Result<Result<(), EventError>, LogError> {
        self.kept.import(events)
    }

    fn maintain(&mut self) -> Result<bool, LogError> {
        let more = self.upkeep > 0;
        self.upkeep = self.upkeep.saturating_sub(1);
        let _ = self.calls.send(LogCall::Maintain { more });
        Ok(more)
    }

    fn reader(&self) -> Result<Box<dyn EventReader>, LogError> {
        self.kept.reader()
    }
}
