//! How much is measured, and how long one operation takes.

use std::time::Duration;

use crate::sample::{Batch, Sample};

/// Discarded repetitions are repeated, up to this many times the wanted number in total.
const PATIENCE: usize = 3;

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effort {
    /// The number of repetitions that count. Contestants take turns, so that a drift of the machine's speed meets all.
    pub(crate) repetitions: usize,
    /// The approximate duration of each repetition.
    pub(crate) each: Duration,
}

/// A contestant whose operations are timed.
struct Runner<'a, 'b> {
    batch: &'a mut Batch<'b>,
    operations: u64,
    /// Nanoseconds for one operation, one for each repetition that counts.
    samples: Vec<f64>,
}

impl Effort {
    /// The median of each contestant, in nanoseconds per operation; `None` if none of its repetitions counted.
    pub(crate) fn medians(&self, batches: &mut [Batch<'_>]) -> Vec<Option<f64>> {
        let mut runners: Vec<_> = batches.iter_mut().map(|batch| Runner::warm(batch, self.each)).collect();
        for _ in 0..self.repetitions * PATIENCE {
            for runner in runners.iter_mut().filter(|runner| runner.samples.len() < self.repetitions) {
                runner.repeat();
            }
        }
        runners.into_iter().map(|runner| median(runner.samples)).collect()
    }
}

impl<'a, 'b> Runner<'a, 'b> {
    /// Finds the number of operations that take about `each`, which also warms up.
    fn warm(batch: &'a mut Batch<'b>, each: Duration) -> Self {
        let mut operations = 1;
        loop {
            // The shorter of two: a disturbed run must not pass for many operations.
            let took = batch(operations).duration().min(batch(operations).duration());
            if took * 2 >= each || operations >= 1 << 32 {
                let scale = each.as_secs_f64() / took.as_secs_f64().max(1e-9);
                let operations = ((operations as f64 * scale) as u64).max(1);
                return Self { batch, operations, samples: Vec::new() };
            }
            operations *= 2;
        }
    }

    fn repeat(&mut self) {
        if let Sample::Took(took) = (self.batch)(self.operations) {
            self.samples.push(took.as_nanos() as f64 / self.operations as f64);
        }
    }
}

fn median(mut samples: Vec<f64>) -> Option<f64> {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EFFORT: Effort = Effort { repetitions: 7, each: Duration::from_micros(100) };

    fn always(took: Duration) -> Batch<'static> {
        Box::new(move |operations| Sample::Took(took * operations as u32))
    }

    #[test]
    fn the_median_is_the_middle_of_the_sorted_samples() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn each_contestant_has_its_own_number_of_operations() {
        let mut batches = [always(Duration::from_nanos(10)), always(Duration::from_micros(50))];
        assert_eq!(EFFORT.medians(&mut batches), [Some(10.0), Some(50_000.0)]);
    }

    #[test]
    fn discarded_repetitions_are_repeated_and_do_not_count() {
        let mut call = 0;
        let sometimes: Batch<'_> = Box::new(move |operations| {
            call += 1;
            let took = Duration::from_micros(1) * operations as u32;
            if call % 2 == 0 { Sample::Took(took) } else { Sample::Discarded(took * 10) }
        });
        let never: Batch<'_> = Box::new(|operations| Sample::Discarded(Duration::from_micros(1) * operations as u32));
        assert_eq!(EFFORT.medians(&mut [sometimes, never]), [Some(1_000.0), None]);
    }
}
