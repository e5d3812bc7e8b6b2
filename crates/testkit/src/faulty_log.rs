use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use foundation::events::{
    Append, Appended, Event, EventError, EventId, EventLog, EventReader, LogError, ParkedEvent, PruneBound,
    ReaderSource, RepairStep, SubscriptionName,
};

/// Makes some commits of a log fail; shared by all logs that are opened one after the other, so that the count continues.
#[derive(Debug, Clone)]
pub struct ErrorInjector {
    fails: fn(usize) -> Option<InjectedError>,
    commits: Arc<AtomicUsize>,
}

/// How a commit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InjectedError {
    /// It is not recorded.
    BeforeCommit,
    /// It is recorded, but its answer is lost.
    AfterCommit,
}

impl ErrorInjector {
    /// The errors that this function returns, for commits counted from 1.
    pub fn new(fails: fn(usize) -> Option<InjectedError>) -> Self {
        Self { fails, commits: Arc::default() }
    }

    /// The log with these errors added.
    pub fn of<L: EventLog>(&self, log: L) -> FaultyLog<L> {
        let errors = self.clone();
        FaultyLog::new(log, move |log, group, now| match errors.next() {
            None => log.commit(group, now),
            Some(InjectedError::BeforeCommit) => Err(failure("the disk took nothing")),
            Some(InjectedError::AfterCommit) => {
                log.commit(group, now)?;
                Err(failure("the disk took it and did not say so"))
            }
        })
    }

    fn next(&self) -> Option<InjectedError> {
        (self.fails)(self.commits.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

fn failure(cause: &str) -> LogError {
    LogError::new("recording events", "a faulty log", cause)
}

/// The answer of a log to a group of appends.
pub type Committed = Result<Vec<Result<Appended, EventError>>, LogError>;

type Commit<L> = dyn FnMut(&mut L, Vec<Append>, SystemTime) -> Committed + Send;

/// A log with a different commit, which does nothing any more after its first failure, as a
/// real one.
pub struct FaultyLog<L> {
    log: L,
    commit: Box<Commit<L>>,
    broken: bool,
}

impl<L: EventLog> FaultyLog<L> {
    /// This log, with this function in place of its commits.
    pub fn new(log: L, commit: impl FnMut(&mut L, Vec<Append>, SystemTime) -> Committed + Send + 'static) -> Self {
        Self { log, commit: Box::new(commit), broken: false }
    }

    fn working(&mut self, action: &str) -> Result<&mut L, LogError> {
        match self.broken {
            false => Ok(&mut self.log),
            true => Err(LogError::new(action, "a faulty log", "it has failed before and has to be opened again")),
        }
    }
}

impl<L: EventLog> EventLog for FaultyLog<L> {
    fn commit(&mut self, group: Vec<Append>, now: SystemTime) -> Committed {
        self.working("recording events")?;
        let committed = (self.commit)(&mut self.log, group, now);
        self.broken = committed.is_err();
        committed
    }

    fn prune(&mut self, bound: PruneBound, keep_from: Option<EventId>, at_most: usize) -> Result<u64, LogError> {
        self.working("pruning")?.prune(bound, keep_from, at_most)
    }

    fn acknowledge(&mut self, subscription: &SubscriptionName, up_to: EventId) -> Result<(), LogError> {
        self.working("acknowledging")?.acknowledge(subscription, up_to)
    }

    fn forget_subscription(&mut self, subscription: &SubscriptionName) -> Result<bool, LogError> {
        self.working("forgetting a subscription")?.forget_subscription(subscription)
    }

    fn park(&mut self, parked: &ParkedEvent, at_most: usize) -> Result<bool, LogError> {
        self.working("parking an event")?.park(parked, at_most)
    }

    fn unpark(&mut self, subscription: &SubscriptionName, event: EventId) -> Result<bool, LogError> {
        self.working("removing a parked event")?.unpark(subscription, event)
    }

    fn import(&mut self, events: Vec<Event>) -> Result<Result<(), EventError>, LogError> {
        self.working("importing")?.import(events)
    }

    fn repair(&mut self, from: EventId, at_most: usize) -> Result<RepairStep, LogError> {
        self.working("repairing")?.repair(from, at_most)
    }

    fn maintain(&mut self) -> Result<bool, LogError> {
        self.working("maintaining")?.maintain()
    }

    fn reader(&self) -> Result<Box<dyn EventReader>, LogError> {
        self.log.reader()
    }

    fn reader_source(&self) -> Option<ReaderSource> {
        self.log.reader_source()
    }
}

impl<L: fmt::Debug> fmt::Debug for FaultyLog<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyLog").field("log", &self.log).field("broken", &self.broken).finish_non_exhaustive()
    }
}
