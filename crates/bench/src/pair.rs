//! Two threads that run the same operation at the same time.

use std::sync::Barrier;
use std::thread;

use crate::sample::{Batch, Sample, WorkPeriod, time};

/// Repeats one function on each of two threads, which start together at a barrier. What one operation takes is the mean
/// of the two; a repetition during which the threads were not side by side for most of the time is discarded.
pub(crate) fn paired<'a, T>(mut operations: [impl FnMut() -> T + Send + 'a; 2]) -> Batch<'a> {
    Box::new(move |times| {
        let barrier = &Barrier::new(2);
        let [one, other] = &mut operations;
        let (one, other) = thread::scope(|scope| {
            let other = scope.spawn(move || at(barrier, times, other));
            let one = at(barrier, times, one);
            (one, other.join().unwrap_or(one))
        });
        judge(one, other)
    })
}

fn at<T>(barrier: &Barrier, times: u64, operation: &mut impl FnMut() -> T) -> WorkPeriod {
    barrier.wait();
    time(times, operation)
}

fn judge(one: WorkPeriod, other: WorkPeriod) -> Sample {
    let mean = (one.length() + other.length()) / 2;
    let overlap = one.ended.min(other.ended).saturating_duration_since(one.begun.max(other.begun));
    if overlap * 4 >= one.length().max(other.length()) * 3 { Sample::Took(mean) } else { Sample::Discarded(mean) }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn span(origin: Instant, from: u64, to: u64) -> WorkPeriod {
        WorkPeriod { begun: origin + Duration::from_micros(from), ended: origin + Duration::from_micros(to) }
    }

    #[test]
    fn threads_that_ran_side_by_side_count_with_their_mean() {
        let origin = Instant::now();
        let sample = judge(span(origin, 0, 100), span(origin, 10, 90));
        assert_eq!(sample, Sample::Took(Duration::from_micros(90)));
    }

    #[test]
    fn threads_that_ran_one_after_the_other_are_discarded() {
        let origin = Instant::now();
        assert!(matches!(judge(span(origin, 0, 100), span(origin, 100, 200)), Sample::Discarded(_)));
        assert!(matches!(judge(span(origin, 0, 100), span(origin, 50, 150)), Sample::Discarded(_)));
    }

    #[test]
    fn both_threads_do_all_operations() {
        let (mut a, mut b) = (0, 0);
        let count = |n: &mut u64| *n += 1;
        let mut batch = paired([Box::new(|| count(&mut a)) as Box<dyn FnMut() + Send>, Box::new(|| count(&mut b))]);
        batch(1_000);
        drop(batch);
        assert_eq!((a, b), (1_000, 1_000));
    }
}
