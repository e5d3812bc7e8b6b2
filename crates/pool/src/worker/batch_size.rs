//! How many jobs a worker claims at once.

use std::time::Duration;

/// The share of the latest batch in the average.
const LATEST: f64 = 0.25;

/// How many jobs a worker claims at once: as many as take a time, or a fixed number.
///
/// Never more than a fair share of the jobs that wait, so that none waits behind another one beside an idle worker. The
/// default is what takes 20 µs, at most 64.
///
/// ```
/// use std::time::Duration;
/// use foundation_pool::BatchSize;
///
/// let size = BatchSize::time(Duration::from_micros(50)).at_most(16);
/// # let _ = size;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSize {
    /// `None` for a fixed number.
    time: Option<Duration>,
    at_most: usize,
}

impl Default for BatchSize {
    fn default() -> Self {
        Self::time(Duration::from_micros(20))
    }
}

impl BatchSize {
    /// As many jobs as take this time, by the average of the worker's last ones; 1 to 64.
    pub const fn time(time: Duration) -> Self {
        Self { time: Some(time), at_most: 64 }
    }

    /// This many jobs; at least 1.
    pub const fn exactly(jobs: usize) -> Self {
        Self { time: None, at_most: if jobs == 0 { 1 } else { jobs } }
    }

    /// No more than this many jobs; at least 1.
    pub const fn at_most(self, jobs: usize) -> Self {
        Self { at_most: if jobs == 0 { 1 } else { jobs }, ..self }
    }
}

/// The average time of a worker's jobs, and the size of its next batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchMeter {
    size: BatchSize,
    /// In nanoseconds; `None` before the first batch.
    average: Option<f64>,
}

impl BatchMeter {
    pub(crate) const fn new(size: BatchSize) -> Self {
        Self { size, average: None }
    }

    /// Notes a batch.
    pub(crate) fn note(&mut self, jobs: usize, took: Duration) {
        if jobs == 0 {
            return;
        }
        let latest = took.as_nanos() as f64 / jobs as f64;
        self.average = Some(self.average.map_or(latest, |average| average + (latest - average) * LATEST));
    }

    /// The size of the next batch: one job before anything is known.
    pub(crate) fn next(&self) -> usize {
        let Some(time) = self.size.time else { return self.size.at_most };
        let Some(average) = self.average else { return 1 };
        let fit = time.as_nanos() as f64 / average.max(1.0);
        (fit as usize).clamp(1, self.size.at_most)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_batch_takes_its_time_once_the_jobs_are_known(job_nanos in 1u64..1_000_000, at_most in 1usize..100) {
            let mut meter = BatchMeter::new(BatchSize::default().at_most(at_most));
            prop_assert_eq!(meter.next(), 1);
            (0..50).for_each(|_| meter.note(4, Duration::from_nanos(4 * job_nanos)));
            let expected = (20_000 / job_nanos as usize).clamp(1, at_most);
            prop_assert!(meter.next().abs_diff(expected) <= 1, "{} and not {}", meter.next(), expected);
        }

        #[test]
        fn no_time_makes_a_size_without_meaning(jobs in any::<usize>(), nanos in any::<u64>(), at_most in any::<usize>()) {
            let mut meter = BatchMeter::new(BatchSize::time(Duration::MAX).at_most(at_most));
            meter.note(jobs, Duration::from_nanos(nanos));
            meter.note(jobs, Duration::MAX);
            prop_assert!((1..=at_most.max(1)).contains(&meter.next()));
            prop_assert_eq!(BatchMeter::new(BatchSize::exactly(at_most)).next(), at_most.max(1));
        }
    }
}
