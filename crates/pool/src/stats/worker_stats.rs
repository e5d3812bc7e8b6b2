//! What one worker does.

use std::time::Duration;

use foundation_kernel::instruments::HistogramSnapshot;
use foundation_kernel::written::{millis, some_millis, text};
use serde::Serialize;

use super::stuck::{Pace, Progress, Stuck};
use super::worker_cells::{Phase, WorkerCells};
use crate::job::id::JobId;
use crate::worker::slot::Slot;

/// What the worker of one slot does, and what the slot's workers have done so far.
///
/// The figures are read one after the other, while the worker goes on: two of them may be of different moments.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct WorkerStats {
    /// Its place in the pool, which its successors keep.
    #[serde(serialize_with = "text")]
    pub slot: Slot,
    /// Its [weight](crate::PoolSpec::weights), for a routing that looks at that.
    pub weight: u16,
    /// Jobs that wait in its inbox: those that the [routing](crate::Routing) has chosen it for.
    pub inbox: usize,
    /// What it does now.
    pub state: WorkerState,
    /// Attempts that have ended, in whatever way but for the end of the worker.
    pub performed: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// How often a worker of this slot was replaced.
    pub restarts: u64,
    /// For how long the worker has lived; `None` without one.
    #[serde(rename = "uptime_ms", serialize_with = "some_millis")]
    pub uptime: Option<Duration>,
    /// How long ago its last attempt ended; `None` if none has, or if [times are not measured](crate::Measurement::Off).
    #[serde(rename = "last_activity_ms", serialize_with = "some_millis")]
    pub last_activity: Option<Duration>,
    /// The job that it performs.
    pub current: Option<CurrentJob>,
    /// Attempts per second, lately.
    pub per_second: f64,
    /// The share of attempts that failed lately, 0 to 1.
    pub error_share: f64,
    /// The share of its time in which it performed jobs lately, 0 to 1.
    pub busy_share: f64,
    /// The times of attempts, in nanoseconds: of [one in 8](crate::Measurement::Sampled), or of each.
    pub times_ns: HistogramSnapshot,
    /// The processor's time of all attempts, estimated from those of which it was measured; `None` without one.
    #[serde(rename = "cpu_ms", serialize_with = "some_millis")]
    pub cpu: Option<Duration>,
}

/// The job that a worker performs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CurrentJob {
    /// Its number.
    pub id: JobId,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// For how long it has been performed; `None` if [times are not measured](crate::Measurement::Off).
    #[serde(rename = "lasts_ms", serialize_with = "some_millis")]
    pub lasts: Option<Duration>,
    /// How long ago it [noted progress](crate::JobContext::progress); `None` if it has not.
    #[serde(rename = "progress_ms", serialize_with = "some_millis")]
    pub progress: Option<Duration>,
}

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WorkerState {
    /// There is none at the moment: it has ended, or its supervisor waits before the next start.
    Down,
    /// It is being made.
    Starting,
    /// It waits for a job.
    Idle,
    /// It performs a job.
    Performing,
    /// It has performed one job for long.
    Slow {
        /// For how long.
        #[serde(rename = "lasts_ms", serialize_with = "millis")]
        lasts: Duration,
    },
    /// It has performed one job for long without an await.
    Blocking {
        /// For how long there was none.
        #[serde(rename = "lasts_ms", serialize_with = "millis")]
        lasts: Duration,
    },
    /// It takes no more jobs.
    Stopping,
}

impl WorkerStats {
    pub(crate) fn read(slot: Slot, weight: u16, cells: &WorkerCells, stuck: &Stuck) -> Self {
        let (counts, rates) = (cells.counts(), cells.rates());
        let current = cells.current().map(|current| CurrentJob {
            id: JobId::new(current.job),
            attempt: current.attempt,
            lasts: current.lasts,
            progress: current.progress,
        });
        Self {
            slot,
            weight,
            inbox: 0,
            state: state(cells, current.as_ref(), stuck),
            performed: counts.performed,
            failed: counts.failed,
            restarts: cells.restarts(),
            uptime: cells.uptime(),
            last_activity: cells.last_activity(),
            current,
            per_second: rates.per_second,
            error_share: rates.error_share,
            busy_share: rates.busy_share,
            times_ns: cells.times(),
            cpu: cells.cpu(),
        }
    }
}

fn state(cells: &WorkerCells, current: Option<&CurrentJob>, stuck: &Stuck) -> WorkerState {
    let progress =
        Progress { job_for: current.and_then(|job| job.progress.or(job.lasts)), polled_for: cells.polled_for() };
    match (stuck.judge(progress), cells.phase()) {
        (Pace::Blocking(lasts), _) => WorkerState::Blocking { lasts },
        (Pace::Slow(lasts) | Pace::Overdue(lasts), _) => WorkerState::Slow { lasts },
        (_, Phase::Down) => WorkerState::Down,
        (_, Phase::Starting) => WorkerState::Starting,
        (_, Phase::Stopping) => WorkerState::Stopping,
        (_, Phase::Running) if current.is_some() => WorkerState::Performing,
        (_, Phase::Running) => WorkerState::Idle,
    }
}
