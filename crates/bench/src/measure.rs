//! How long one operation takes: medians of repetitions, ours and the peer's in turn.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// How much is measured.
pub(crate) struct Effort {
    /// So many times, ours and the peer's in turn, so that a drift of the machine's speed meets both.
    pub(crate) repetitions: usize,
    /// For about so long each time.
    pub(crate) each: Duration,
}

/// Runs an operation this many times and says how long all of them took.
pub(crate) type Batch<'a> = dyn FnMut(u64) -> Duration + 'a;

/// The medians of both, in nanoseconds for one operation.
pub(crate) fn compare(effort: &Effort, ours: &mut Batch<'_>, peer: &mut Batch<'_>) -> (f64, f64) {
    let (our_batch, peer_batch) = (calibrate(effort.each, ours), calibrate(effort.each, peer));
    let mut samples = (Vec::new(), Vec::new());
    for _ in 0..effort.repetitions {
        samples.0.push(per_operation(ours, our_batch));
        samples.1.push(per_operation(peer, peer_batch));
    }
    (median(samples.0), median(samples.1))
}

/// How many operations take about this long. Warms up on the way.
fn calibrate(each: Duration, batch: &mut Batch<'_>) -> u64 {
    let mut operations = 1;
    loop {
        let took = batch(operations);
        if took * 2 >= each || operations >= 1 << 32 {
            let scale = each.as_secs_f64() / took.as_secs_f64().max(1e-9);
            return ((operations as f64 * scale) as u64).max(1);
        }
        operations *= 2;
    }
}

fn per_operation(batch: &mut Batch<'_>, operations: u64) -> f64 {
    batch(operations).as_nanos() as f64 / operations as f64
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// A batch of a plain function.
pub(crate) fn repeated<T>(mut operation: impl FnMut() -> T) -> impl FnMut(u64) -> Duration {
    move |operations| {
        let begun = Instant::now();
        for _ in 0..operations {
            black_box(operation());
        }
        begun.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_the_sorted_samples() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), 5.0);
    }
}
