//! What was seen of a script, in the order in which it happened. All actors and callers write into one record.

use std::fmt::Write;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use foundation_pool::JobError;
use parking_lot::Mutex;
use tokio::time::Instant;

/// The record of one play.
#[derive(Debug, Clone)]
pub(super) struct Record {
    begun: Instant,
    entries: Arc<Mutex<Vec<Entry>>>,
}

/// Something that happened, and when.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) at: Duration,
    pub(super) what: Seen,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Seen {
    /// What the script did.
    Did(String),
    /// The most workers from now on.
    Limits(usize, usize),
    Paused(bool),
    /// A worker has been made, or has been dropped.
    WorkerUp(usize),
    WorkerDown(usize),
    Accepted {
        job: usize,
        id: u64,
    },
    Refused {
        job: usize,
        why: String,
    },
    /// The caller has its output.
    Answered {
        job: usize,
    },
    /// The caller stopped waiting for it.
    TimedOut {
        job: usize,
    },
    /// What the worker was told of the attempt, and what the job itself knows of earlier ones.
    Begun {
        job: usize,
        id: u64,
        attempt: u32,
        earlier: u32,
        slot: usize,
    },
    Ended {
        job: usize,
        how: End,
    },
    /// The job has come back: not done.
    Settled {
        job: usize,
        outcome: Outcome,
    },
    /// The job itself was dropped.
    Destroyed {
        job: usize,
    },
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Succeeded,
    Failed,
    FailedForGood,
    Panicked,
    /// Its future was dropped.
    Cut,
}

/// What became of a job that was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Failed { attempts: u32 },
    Panicked { attempts: u32 },
    OutOfTime { attempts: u32 },
    Interrupted { attempts: u32 },
    Expired { waited: Duration },
    Dropped,
    Returned,
}

impl Outcome {
    /// `None` if the error says nothing about the end of the job.
    pub(super) fn of<J>(error: &JobError<J>) -> Option<Self> {
        Some(match *error {
            JobError::Failed { attempts, .. } => Self::Failed { attempts },
            JobError::Panicked { attempts, .. } => Self::Panicked { attempts },
            JobError::OutOfTime { attempts, .. } => Self::OutOfTime { attempts },
            JobError::Interrupted { attempts, .. } => Self::Interrupted { attempts },
            JobError::Expired { waited, .. } => Self::Expired { waited },
            JobError::Dropped { .. } => Self::Dropped,
            JobError::Returned { .. } => Self::Returned,
            _ => return None,
        })
    }
}

impl Seen {
    /// The job that it happened to.
    pub(super) fn job(&self) -> Option<usize> {
        match *self {
            Self::Accepted { job, .. }
            | Self::Refused { job, .. }
            | Self::Answered { job }
            | Self::TimedOut { job }
            | Self::Begun { job, .. }
            | Self::Ended { job, .. }
            | Self::Settled { job, .. }
            | Self::Destroyed { job } => Some(job),
            _ => None,
        }
    }
}

impl Record {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), entries: Arc::default() }
    }

    pub(super) fn push(&self, what: Seen) {
        let at = self.begun.elapsed();
        self.entries.lock().push(Entry { at, what });
    }

    pub(super) fn did(&self, what: impl Into<String>) {
        self.push(Seen::Did(what.into()));
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.entries.lock().clone()
    }

    /// The fewest and the most workers, as they were set last.
    pub(super) fn limits(&self) -> RangeInclusive<usize> {
        let entries = self.entries.lock();
        let limits = entries.iter().rev().find_map(|entry| match entry.what {
            Seen::Limits(least, most) => Some(least..=most),
            _ => None,
        });
        limits.unwrap_or(0..=usize::MAX)
    }

    /// How many parts of the pool, or of the script, can still write.
    pub(super) fn writers(&self) -> usize {
        Arc::strong_count(&self.entries)
    }
}

/// The entries in words.
pub(super) fn describe(entries: &[Entry]) -> String {
    entries.iter().fold(String::new(), |mut text, Entry { at, what }| {
        let _ = writeln!(text, "  {:>9.3} {what:?}", at.as_secs_f64());
        text
    })
}
