//! One repetition of a batch of operations.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// The result of one repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sample {
    /// The duration of all operations together.
    Took(Duration),
    /// Does not count, since the threads that must run side by side did not; its duration all the same.
    Discarded(Duration),
}

/// Runs an operation this many times.
pub(crate) type Batch<'a> = Box<dyn FnMut(u64) -> Sample + 'a>;

impl Sample {
    /// The duration, whether it counts or not.
    pub(crate) fn duration(self) -> Duration {
        match self {
            Self::Took(took) | Self::Discarded(took) => took,
        }
    }
}

/// Repeats a plain function.
pub(crate) fn repeated<'a, T>(mut operation: impl FnMut() -> T + 'a) -> Batch<'a> {
    Box::new(move |operations| Sample::Took(time(operations, &mut operation).length()))
}

/// The period in which a thread worked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WorkPeriod {
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
}

impl WorkPeriod {
    pub(crate) fn length(self) -> Duration {
        self.ended - self.begun
    }
}

/// Runs an operation this many times.
pub(crate) fn time<T>(operations: u64, operation: &mut impl FnMut() -> T) -> WorkPeriod {
    let begun = Instant::now();
    for _ in 0..operations {
        black_box(operation());
    }
    WorkPeriod { begun, ended: Instant::now() }
}
