//! Notes when a worker's future is polled: a heartbeat without messages.

use std::future::poll_fn;
use std::pin::pin;

use super::worker_cells::WorkerCells;

/// Runs a worker's future, and notes in its cells when a poll begins and ends. Costs a reading of the clock for each poll.
///
/// A worker within a poll has its thread to itself: it computes, or blocks. A worker between two polls waits for a fact.
pub(crate) async fn poll_metered<F: Future>(cells: &WorkerCells, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let _polled = Polled::new(cells);
        future.as_mut().poll(context)
    })
    .await
}

/// A poll, which ends also when it panics.
struct Polled<'a>(&'a WorkerCells);

impl<'a> Polled<'a> {
    fn new(cells: &'a WorkerCells) -> Self {
        cells.poll_began();
        Self(cells)
    }
}

impl Drop for Polled<'_> {
    fn drop(&mut self) {
        self.0.poll_ended();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use futures::FutureExt;
    use tokio::time::Instant;

    use super::*;
    use crate::stats::measurement::Measurement;

    #[tokio::test]
    async fn a_future_is_polled_while_it_computes_and_not_while_it_waits() {
        let cells = WorkerCells::new(Instant::now(), Measurement::Sampled);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let mut metered = pin!(poll_metered(&cells, async {
            assert!(cells.polled_for().is_some());
            receiver.await
        }));
        assert!(metered.as_mut().now_or_never().is_none());
        assert!(cells.polled_for().is_none());
        sender.send(7).unwrap();
        assert_eq!(metered.await, Ok(7));
        assert!(cells.polled_for().is_none());
    }

    #[tokio::test]
    async fn a_panic_ends_the_poll() {
        let cells = WorkerCells::new(Instant::now(), Measurement::Sampled);
        let panicking = AssertUnwindSafe(poll_metered(&cells, async { panic!("no") })).catch_unwind();
        let outcome: Result<(), _> = panicking.await;
        assert!(outcome.is_err() && cells.polled_for().is_none());
    }
}
