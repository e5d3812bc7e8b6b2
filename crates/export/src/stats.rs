//! What an exporter has done so far.

use std::time::{Duration, SystemTime};

use foundation_kernel::instruments::{Histogram, HistogramSnapshot};
use foundation_kernel::names::ServiceName;
use foundation_kernel::written::rfc3339;
use parking_lot::Mutex;
use serde::{Serialize, Serializer};

use crate::exporter::{Exported, Target};

/// What an exporter is, and what it has done so far, over all lives of its task.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExporterStats {
    /// Its name.
    #[serde(serialize_with = "foundation_kernel::written::text")]
    pub name: ServiceName,
    /// Its format.
    pub format: &'static str,
    /// When it exports.
    pub schedule: String,
    /// Where the numbers go; `None` before its task has begun.
    pub target: Option<Target>,
    /// What it does now.
    pub state: ExporterState,
    /// Attempts to export. One that a stop has ended is neither a success nor a failure.
    pub attempts: u64,
    /// Exports that succeeded.
    pub successes: u64,
    /// Exports that failed, after all of their attempts.
    pub failures: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// The failures since the last success.
    pub consecutive_failures: u64,
    /// Series, or events, that were exported.
    pub series: u64,
    /// Series that were over the limit of a batch, that the format cannot write, or that the receiver has refused; events that were
    /// pruned before they were exported.
    pub series_dropped: u64,
    /// Bytes that were sent.
    pub bytes: u64,
    /// When the last export succeeded.
    #[serde(serialize_with = "some_time")]
    pub last_success: Option<SystemTime>,
    /// The error of the last export that failed.
    pub last_error: Option<String>,
    /// Why series were refused or left out last.
    pub last_rejection: Option<String>,
    /// How long successful exports took, in nanoseconds, all attempts included.
    pub duration_ns: HistogramSnapshot,
}

fn some_time<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    time.and_then(rfc3339::format).serialize(serializer)
}

/// What an exporter does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExporterState {
    /// Its task does not run: it has not begun, or waits for its restart.
    #[default]
    Down,
    /// It waits for its time.
    Waiting,
    /// It exports.
    Exporting,
    /// It is paused.
    Paused,
}

/// The counts of one exporter, which outlive its task.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    figures: Mutex<Figures>,
    duration_ns: Histogram,
}

#[derive(Debug, Clone, Default)]
struct Figures {
    target: Option<Target>,
    state: ExporterState,
    attempts: u64,
    successes: u64,
    failures: u64,
    retries: u64,
    consecutive_failures: u64,
    series: u64,
    series_dropped: u64,
    bytes: u64,
    last_success: Option<SystemTime>,
    last_error: Option<String>,
    last_rejection: Option<String>,
    /// Whether a failure since the last success was recorded as an event.
    recorded: bool,
    /// Which attempt of its export was made last, from 1.
    attempt: u32,
    /// At which attempt the task was ended by a panic that has not been recorded as an event.
    panicked_at: Option<u32>,
}

impl Counts {
    pub(crate) fn set_target(&self, target: Target) {
        self.figures.lock().target = Some(target);
    }

    pub(crate) fn set_state(&self, state: ExporterState) {
        self.figures.lock().state = state;
    }

    /// Notes which attempt of an export begins, from 1.
    pub(crate) fn attempt(&self, made: u32) {
        let mut figures = self.figures.lock();
        figures.attempts += 1;
        figures.retries += u64::from(made > 1);
        figures.attempt = made;
    }

    /// Notes a panic that ends the task, which cannot record it.
    pub(crate) fn panicked(&self, error: &str) {
        let is_first = self.failure(error.to_owned());
        let mut figures = self.figures.lock();
        figures.panicked_at = is_first.then_some(figures.attempt.max(1));
    }

    /// At which attempt the task was ended by a panic, if that is to be recorded.
    pub(crate) fn take_panic(&self) -> Option<u32> {
        self.figures.lock().panicked_at.take()
    }

    pub(crate) fn dropped(&self, series: usize) {
        add(&mut self.figures.lock().series_dropped, series);
    }

    /// Notes a success.
    pub(crate) fn success(&self, exported: &Exported, took: Duration) {
        self.duration_ns.record(took.as_nanos() as f64);
        let mut figures = self.figures.lock();
        figures.successes += 1;
        add(&mut figures.series, exported.series);
        if let Some((series, reason)) = &exported.rejected {
            add(&mut figures.series_dropped, *series);
            figures.last_rejection = Some(foundation_kernel::text::excerpt(reason));
        }
        add(&mut figures.bytes, exported.bytes);
        figures.last_success = Some(SystemTime::now());
    }

    /// How many failures were before a success, and whether one of them was recorded as an event.
    pub(crate) fn take_failures(&self) -> (u64, bool) {
        let mut figures = self.figures.lock();
        (std::mem::take(&mut figures.consecutive_failures), std::mem::take(&mut figures.recorded))
    }

    /// Notes that a failure is recorded as an event.
    pub(crate) fn failure_recorded(&self) {
        self.figures.lock().recorded = true;
    }

    /// Notes a failure, and returns whether none was recorded as an event since the last success.
    pub(crate) fn failure(&self, error: String) -> bool {
        let mut figures = self.figures.lock();
        figures.failures += 1;
        figures.consecutive_failures += 1;
        figures.last_error = Some(error);
        !figures.recorded
    }

    pub(crate) fn consecutive_failures(&self) -> u64 {
        self.figures.lock().consecutive_failures
    }

    pub(crate) fn read(&self, name: ServiceName, format: &'static str, schedule: String) -> ExporterStats {
        let figures = self.figures.lock().clone();
        ExporterStats {
            name,
            format,
            schedule,
            target: figures.target,
            state: figures.state,
            attempts: figures.attempts,
            successes: figures.successes,
            failures: figures.failures,
            retries: figures.retries,
            consecutive_failures: figures.consecutive_failures,
            series: figures.series,
            series_dropped: figures.series_dropped,
            bytes: figures.bytes,
            last_success: figures.last_success,
            last_error: figures.last_error,
            last_rejection: figures.last_rejection,
            duration_ns: self.duration_ns.snapshot(),
        }
    }
}

/// Adds a figure of an exporter, which may be any number.
fn add(sum: &mut u64, figure: usize) {
    *sum = sum.saturating_add(figure as u64);
}
