//! Two threads that run the same operation at the same time, as in the benchmark itself.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use crate::{Batch, Sample};

/// Repeats a plain function.
pub(crate) fn repeated<T>(mut operation: impl FnMut() -> T + 'static) -> Batch {
    Box::new(move |operations| {
        let (begun, ended) = time(operations, &mut operation);
        Sample::Took(ended - begun)
    })
}

/// Repeats one function on each of two threads, which start together at a barrier. What one operation takes is the mean
/// of the two; a repetition during which the threads were not side by side for most of the time is discarded.
pub(crate) fn paired<T>(mut operations: [impl FnMut() -> T + Send + 'static; 2]) -> Batch {
    Box::new(move |times| {
        let barrier = &Barrier::new(2);
        let [one, other] = &mut operations;
        let (one, other) = thread::scope(|scope| {
            let other = scope.spawn(move || {
                barrier.wait();
                time(times, other)
            });
            barrier.wait();
            let one = time(times, one);
            (one, other.join().unwrap_or(one))
        });
        let (lengths, overlap) = ([one.1 - one.0, other.1 - other.0], one.1.min(other.1) - one.0.max(other.0));
        let mean = (lengths[0] + lengths[1]) / 2;
        if overlap * 4 >= lengths[0].max(lengths[1]) * 3 { Sample::Took(mean) } else { Sample::Discarded(mean) }
    })
}

fn time<T>(operations: u64, operation: &mut impl FnMut() -> T) -> (Instant, Instant) {
    let begun = Instant::now();
    for _ in 0..operations {
        black_box(operation());
    }
    (begun, Instant::now())
}
