//! The cells of one slot, which its worker writes and anyone reads.
//!
//! 1. A cell has one writer: the worker of the slot, of which there is one at a time; those of rates the scaler.
//! 2. Everything is relaxed, as each cell stands for itself; but for the number of the current job, which is written after
//!    the other cells of the job, and read before and after them.
//! 3. Times are nanoseconds since the origin, and one more: zero is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foundation_kernel::instruments::{Histogram, HistogramSnapshot};
use tokio::time::Instant;

use super::measurement::Measurement;
use super::thread_time::thread_time;

/// One job in this many is recorded in the histogram, unless all are.
const RECORDED_ONE_IN: u64 = 8;
/// Of one job in this many the processor's time is measured, unless of all.
const CPU_ONE_IN: u64 = 64;

/// What one slot has done, and what it does.
#[derive(Debug)]
pub(crate) struct WorkerCells {
    origin: Instant,
    measurement: Measurement,
    phase: AtomicU64,
    lives: AtomicU64,
    alive_since: AtomicU64,
    performed: AtomicU64,
    failed: AtomicU64,
    busy_nanos: AtomicU64,
    active_at: AtomicU64,
    job: AtomicU64,
    attempt: AtomicU64,
    job_since: AtomicU64,
    progress_at: AtomicU64,
    polled_since: AtomicU64,
    cpu_nanos: AtomicU64,
    cpu_jobs: AtomicU64,
    /// The time of the thread, in nanoseconds and one more, from which the current job counts.
    cpu_mark: AtomicU64,
    times: Histogram,
    /// Bits of floats, written by the scaler.
    rates: [AtomicU64; 3],
}

/// The job that a worker performs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CurrentCells {
    pub(crate) job: u64,
    pub(crate) attempt: u32,
    /// For how long it has been performed; `None` if times are not measured.
    pub(crate) lasts: Option<Duration>,
    /// How long ago it noted progress, if it has.
    pub(crate) progress: Option<Duration>,
}

impl CurrentCells {
    /// For how long it has shown no progress.
    pub(crate) fn quiet(&self) -> Option<Duration> {
        self.progress.or(self.lasts)
    }
}

/// Counts that only grow: differences between two readings are rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct WorkerCounts {
    pub(crate) performed: u64,
    pub(crate) failed: u64,
    /// The time of the jobs that have ended.
    pub(crate) busy: Duration,
}

impl WorkerCounts {
    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            performed: self.performed.wrapping_add(other.performed),
            failed: self.failed.wrapping_add(other.failed),
            busy: self.busy.saturating_add(other.busy),
        }
    }

    /// What came after the earlier ones. Counts of a slot that was removed and is there again begin anew.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            performed: self.performed.saturating_sub(earlier.performed),
            failed: self.failed.saturating_sub(earlier.failed),
            busy: self.busy.saturating_sub(earlier.busy),
        }
    }
}

/// What a worker did lately.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct WorkerRates {
    /// Jobs per second.
    pub(crate) per_second: f64,
    /// The share of jobs that failed.
    pub(crate) error_share: f64,
    /// The share of the time in which it performed jobs.
    pub(crate) busy_share: f64,
}

impl WorkerCells {
    pub(crate) fn new(origin: Instant, measurement: Measurement) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            origin,
            measurement,
            phase: zero(),
            lives: zero(),
            alive_since: zero(),
            performed: zero(),
            failed: zero(),
            busy_nanos: zero(),
            active_at: zero(),
            job: zero(),
            attempt: zero(),
            job_since: zero(),
            progress_at: zero(),
            polled_since: zero(),
            cpu_nanos: zero(),
            cpu_jobs: zero(),
            cpu_mark: zero(),
            times: Histogram::new(),
            rates: [zero(), zero(), zero()],
        }
    }

    // ---- the worker of the slot ----

    /// A worker is made from now on, and lives until the guard is dropped.
    pub(crate) fn live(self: &Arc<Self>) -> Life {
        bump(&self.lives, 1);
        let life = Life(Arc::clone(self));
        life.start();
        life
    }

    /// A job begins. The clock is not read: it begins when the last one ended, or when this poll or life began. What it took
    /// to settle that one and to get this one counts as time of this one.
    #[inline]
    pub(crate) fn begin(&self, job: u64, attempt: u32) {
        self.attempt.store(u64::from(attempt), Ordering::Relaxed);
        self.job_since.store(self.read_last(), Ordering::Relaxed);
        self.progress_at.store(0, Ordering::Relaxed);
        self.job.store(job, Ordering::Release);
        if self.measures_cpu() {
            self.mark_cpu();
        }
    }

    /// The current job ends; returns how long it took, if that is to be recorded. Costs a reading of the clock.
    #[inline]
    pub(crate) fn end(&self, failed: bool) -> Option<Duration> {
        self.end_batch(1, u64::from(failed))
    }

    /// The same of this many jobs that were begun at once, some of which failed; returns how long one of them took.
    pub(crate) fn end_batch(&self, jobs: u64, failed: u64) -> Option<Duration> {
        self.job.store(0, Ordering::Release);
        if self.cpu_mark.load(Ordering::Relaxed) > 0 {
            self.add_cpu();
            bump(&self.cpu_jobs, jobs);
        }
        let before = self.performed.load(Ordering::Relaxed);
        bump(&self.performed, jobs);
        bump(&self.failed, failed);
        let (now, since) = (self.measured_now(), self.job_since.load(Ordering::Relaxed));
        if now == 0 || since == 0 {
            return None;
        }
        let took = now.saturating_sub(since);
        self.active_at.store(now, Ordering::Relaxed);
        bump(&self.busy_nanos, took);
        // The first of each so many, also if a batch has it.
        let sampled = |performed: u64| performed.div_ceil(RECORDED_ONE_IN);
        let is_recorded =
            jobs > 0 && (self.measurement == Measurement::Full || sampled(before) != sampled(before + jobs));
        is_recorded.then(|| {
            let took = took / jobs.max(1);
            self.times.record(took as f64);
            Duration::from_nanos(took)
        })
    }

    /// The current job, of this worker, gets on.
    pub(crate) fn progress(&self) {
        self.progress_at.store(self.measured_now(), Ordering::Relaxed);
    }

    /// The number of the current job; 0 without one.
    pub(crate) fn job(&self) -> u64 {
        self.job.load(Ordering::Acquire)
    }

    /// A poll of the worker's future begins.
    #[inline]
    pub(super) fn poll_began(&self) {
        self.polled_since.store(self.measured_now(), Ordering::Relaxed);
        if self.cpu_mark.load(Ordering::Relaxed) > 0 {
            self.mark_cpu();
        }
    }

    /// The poll has ended: with `Pending`, with the future's end, or with a panic.
    #[inline]
    pub(super) fn poll_ended(&self) {
        self.polled_since.store(0, Ordering::Relaxed);
        if self.cpu_mark.load(Ordering::Relaxed) > 0 {
            self.add_cpu();
        }
    }

    fn measures_cpu(&self) -> bool {
        match self.measurement {
            Measurement::Off => false,
            Measurement::Sampled => self.performed.load(Ordering::Relaxed).is_multiple_of(CPU_ONE_IN),
            Measurement::Full => true,
        }
    }

    fn mark_cpu(&self) {
        let mark = thread_time().map_or(0, |time| nanos(time) + 1);
        self.cpu_mark.store(mark, Ordering::Relaxed);
    }

    /// Adds the time since the mark, which may be of another thread only if the mark is made anew at each poll.
    fn add_cpu(&self) {
        let mark = self.cpu_mark.load(Ordering::Relaxed);
        let now = thread_time().map_or(0, |time| nanos(time) + 1);
        bump(&self.cpu_nanos, now.saturating_sub(mark));
        if self.job.load(Ordering::Relaxed) == 0 {
            self.cpu_mark.store(0, Ordering::Relaxed);
        }
    }

    // ---- the scaler ----

    pub(crate) fn set_rates(&self, rates: WorkerRates) {
        let values = [rates.per_second, rates.error_share, rates.busy_share];
        self.rates.iter().zip(values).for_each(|(cell, value)| cell.store(value.to_bits(), Ordering::Relaxed));
    }

    // ---- readers ----

    pub(crate) fn rates(&self) -> WorkerRates {
        let [per_second, error_share, busy_share] =
            self.rates.each_ref().map(|cell| f64::from_bits(cell.load(Ordering::Relaxed)));
        WorkerRates { per_second, error_share, busy_share }
    }

    pub(crate) fn counts(&self) -> WorkerCounts {
        WorkerCounts {
            performed: self.performed.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            busy: Duration::from_nanos(self.busy_nanos.load(Ordering::Relaxed)),
        }
    }

    /// The same, with the time that the current job has taken so far.
    pub(crate) fn counts_now(&self) -> WorkerCounts {
        let counts = self.counts();
        let current = self.current().and_then(|current| current.lasts).unwrap_or_default();
        WorkerCounts { busy: counts.busy.saturating_add(current), ..counts }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            1 => Phase::Starting,
            2 => Phase::Running,
            3 => Phase::Stopping,
            _ => Phase::Down,
        }
    }

    /// The job that is performed, if there is one.
    pub(crate) fn current(&self) -> Option<CurrentCells> {
        let read = || {
            let job = self.job.load(Ordering::Acquire);
            let (attempt, since) = (self.attempt.load(Ordering::Relaxed), self.job_since.load(Ordering::Relaxed));
            (job, attempt as u32, since, self.progress_at.load(Ordering::Relaxed))
        };
        let (mut before, mut now) = (read(), read());
        // A worker that begins a job between any two of our readings is busy enough to be shown as it is.
        for _ in 0..3 {
            if before == now {
                break;
            }
            (before, now) = (now, read());
        }
        let (job, attempt, since, progress) = now;
        (job > 0).then(|| CurrentCells { job, attempt, lasts: self.age(since), progress: self.age(progress) })
    }

    /// For how long the worker's future has been polled without a break.
    pub(crate) fn polled_for(&self) -> Option<Duration> {
        self.age(self.polled_since.load(Ordering::Relaxed))
    }

    /// How long ago the last job ended.
    pub(crate) fn last_activity(&self) -> Option<Duration> {
        self.age(self.active_at.load(Ordering::Relaxed))
    }

    /// For how long the worker has lived.
    pub(crate) fn uptime(&self) -> Option<Duration> {
        self.age(self.alive_since.load(Ordering::Relaxed))
    }

    /// For how long it has had nothing to do; zero while it performs a job, or does not live.
    pub(crate) fn idle_for(&self) -> Duration {
        if self.job.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        let uptime = self.uptime().unwrap_or_default();
        self.last_activity().map_or(uptime, |activity| activity.min(uptime))
    }

    /// How often a worker of this slot has been replaced.
    pub(crate) fn restarts(&self) -> u64 {
        self.lives.load(Ordering::Relaxed).saturating_sub(1)
    }

    pub(crate) fn times(&self) -> HistogramSnapshot {
        self.times.snapshot()
    }

    /// The processor's time of all jobs, estimated from those of which it was measured.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        let (measured, jobs) = (self.cpu_nanos.load(Ordering::Relaxed), self.cpu_jobs.load(Ordering::Relaxed));
        let performed = self.performed.load(Ordering::Relaxed);
        let estimate = measured as f64 / jobs.max(1) as f64 * performed as f64;
        (jobs > 0).then(|| Duration::from_nanos(estimate as u64))
    }

    // ---- time ----

    fn now(&self) -> u64 {
        nanos(self.origin.elapsed()) + 1
    }

    /// The time that was read last; none without measurement.
    pub(crate) fn read_last(&self) -> u64 {
        let alive_since =
            if self.measurement == Measurement::Off { 0 } else { self.alive_since.load(Ordering::Relaxed) };
        alive_since.max(self.active_at.load(Ordering::Relaxed)).max(self.polled_since.load(Ordering::Relaxed))
    }

    /// The same as a time; without measurement the clock is read.
    pub(crate) fn recent(&self) -> Instant {
        match self.read_last() {
            0 => Instant::now(),
            read => self.origin + Duration::from_nanos(read - 1),
        }
    }

    fn measured_now(&self) -> u64 {
        if self.measurement == Measurement::Off { 0 } else { self.now() }
    }

    fn age(&self, since: u64) -> Option<Duration> {
        (since > 0).then(|| Duration::from_nanos(self.now().saturating_sub(since)))
    }
}

/// The phases of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Without a worker.
    Down,
    Starting,
    Running,
    Stopping,
}

/// The life of a worker. Dropped, also with a killed task, it leaves no job and no poll behind.
#[derive(Debug)]
pub(crate) struct Life(Arc<WorkerCells>);

impl Life {
    /// The cells of the slot.
    pub(crate) fn cells(&self) -> &Arc<WorkerCells> {
        &self.0
    }

    /// The worker is made, also anew within its life.
    pub(crate) fn start(&self) {
        self.enter(Phase::Starting);
    }

    /// The worker has been made.
    pub(crate) fn run(&self) {
        self.0.alive_since.store(self.0.now(), Ordering::Relaxed);
        self.enter(Phase::Running);
    }

    /// The worker takes no more jobs.
    pub(crate) fn stop(&self) {
        self.enter(Phase::Stopping);
    }

    fn enter(&self, phase: Phase) {
        self.0.phase.store(phase as u64, Ordering::Relaxed);
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let cells = &self.0;
        for cell in
            [&cells.job, &cells.job_since, &cells.progress_at, &cells.polled_since, &cells.cpu_mark, &cells.alive_since]
        {
            cell.store(0, Ordering::Relaxed);
        }
        self.enter(Phase::Down);
    }
}

/// Adds to a cell as its only writer, without the cost of a read-modify-write.
fn bump(cell: &AtomicU64, by: u64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(measurement: Measurement) -> Arc<WorkerCells> {
        Arc::new(WorkerCells::new(Instant::now(), measurement))
    }

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_is_shown_while_it_is_performed_and_counted_when_it_has_ended() {
        let cells = cells(Measurement::Full);
        let life = cells.live();
        assert_eq!((cells.phase(), cells.uptime()), (Phase::Starting, None));
        life.run();
        assert_eq!(cells.phase(), Phase::Running);
        cells.begin(7, 2);
        pass(3).await;
        let lasts = Some(Duration::from_secs(3));
        let current = CurrentCells { job: 7, attempt: 2, lasts, progress: None };
        assert_eq!((cells.current(), cells.idle_for()), (Some(current), Duration::ZERO));
        assert_eq!(cells.end(true), Some(Duration::from_secs(3)));
        pass(4).await;
        assert_eq!((cells.current(), cells.idle_for()), (None, Duration::from_secs(4)));
        assert_eq!(cells.counts(), WorkerCounts { performed: 1, failed: 1, busy: Duration::from_secs(3) });
        assert_eq!((cells.times().count, cells.uptime()), (1, Some(Duration::from_secs(7))));
        drop(life);
        assert_eq!((cells.uptime(), cells.restarts(), cells.phase()), (None, 0, Phase::Down));
        let life = cells.live();
        life.run();
        life.stop();
        assert_eq!(cells.phase(), Phase::Stopping);
        assert_eq!((cells.uptime(), cells.restarts()), (Some(Duration::ZERO), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_ends_in_a_job_leaves_nothing_behind() {
        let cells = cells(Measurement::Sampled);
        let life = cells.live();
        cells.poll_began();
        cells.begin(7, 1);
        pass(1).await;
        assert_eq!(cells.polled_for(), Some(Duration::from_secs(1)));
        drop(life);
        assert_eq!((cells.current(), cells.polled_for(), cells.counts()), (None, None, WorkerCounts::default()));
    }

    #[tokio::test(start_paused = true)]
    async fn without_measurement_jobs_are_counted_and_not_timed() {
        let cells = cells(Measurement::Off);
        cells.begin(1, 1);
        assert_eq!(cells.current(), Some(CurrentCells { job: 1, attempt: 1, lasts: None, progress: None }));
        assert_eq!(cells.end(false), None);
        assert_eq!((cells.counts().performed, cells.times().count, cells.cpu()), (1, 0, None));
    }

    #[test]
    fn the_time_of_the_processor_is_that_of_the_polls_of_the_job() {
        let cells = cells(Measurement::Full);
        cells.poll_began();
        cells.begin(1, 1);
        cells.poll_ended();
        let between = busy_for(Duration::from_millis(50));
        cells.poll_began();
        let within = busy_for(Duration::from_millis(5));
        cells.end(false);
        cells.poll_ended();
        if let Some(cpu) = cells.cpu() {
            assert!(cpu >= within && cpu < between, "{cpu:?}, {within:?} within and {between:?} between polls");
        }
    }

    /// Computes for so long, and returns the time of the thread, if that is known.
    fn busy_for(time: Duration) -> Duration {
        let before = thread_time().unwrap_or_default();
        let begun = std::time::Instant::now();
        loop {
            let spent = thread_time().map_or(begun.elapsed(), |now| now - before);
            if spent >= time {
                return spent;
            }
        }
    }
}
