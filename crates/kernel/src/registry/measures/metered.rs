//! The handling of one message with its span and its measuring.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tracing::Span;

use super::measuring::Measuring;
use crate::supervisor::Handled;

pin_project! {
    /// A handling within its span, and measured. Both end with it, so before the actor's next message.
    pub(crate) struct Metered<'a, F> {
        #[pin]
        handling: F,
        // After the handling, whose panic it has to see.
        // `None` if it is not measured, or is over.
        measuring: Option<Measuring<'a>>,
        // `None` if no subscriber wants it, the common case: a branch is cheaper than an empty span.
        span: Option<Span>,
    }
}

impl<'a, F> Metered<'a, F> {
    #[inline]
    pub(super) fn new(handling: F, span: Option<Span>, measuring: Option<Measuring<'a>>) -> Self {
        Self { handling, measuring, span }
    }
}

impl<F: Future<Output = Handled>> Future for Metered<'_, F> {
    type Output = Handled;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Handled> {
        let this = self.project();
        let polled = match this.span {
            None => this.handling.poll(context),
            Some(span) => {
                let _entered = span.enter();
                this.handling.poll(context)
            }
        };
        match (&polled, this.measuring.as_mut()) {
            (Poll::Pending, Some(measuring)) => measuring.waits(),
            (Poll::Ready(handled), Some(_)) => {
                if let Some(measuring) = this.measuring.take() {
                    measuring.returned(handled.is_err());
                }
            }
            (_, None) => {}
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use futures::FutureExt;
    use proptest::prelude::*;

    use super::super::series::Series;
    use super::*;

    /// The outcome of a handling, after a number of pending polls.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum End {
        Returns,
        Fails,
        Panics,
        /// The actor is killed.
        Dropped,
    }

    fn handle(series: &Series, timed_one_in: u64, waits: usize, end: End) {
        let mut left = waits;
        let handling = poll_fn(move |_| match (left, end) {
            (0, End::Returns) => Poll::Ready(Ok(())),
            (0, End::Fails) => Poll::Ready(Err("told to fail".into())),
            (0, End::Panics) => panic!("told to panic"),
            (0, End::Dropped) => Poll::Pending,
            _ => {
                left -= 1;
                Poll::Pending
            }
        });
        let mut metered = Box::pin(Metered::new(handling, None, Some(Measuring::begin(series, timed_one_in))));
        // In here, so that values dropped during a panic see it, as in an actor's loop.
        let looks = move || (0..=waits).for_each(|_| drop(metered.as_mut().now_or_never()));
        let _: Result<(), _> = catch_unwind(AssertUnwindSafe(looks));
    }

    fn handlings() -> impl Strategy<Value = Vec<(usize, End)>> {
        let end = prop::sample::select(vec![End::Returns, End::Fails, End::Panics, End::Dropped]);
        prop::collection::vec((0..3usize, end), 0..40)
    }

    proptest! {
        #[test]
        fn each_handling_is_counted_once_whatever_becomes_of_it(handlings in handlings(), power in 0..4u32) {
            let timed_one_in = 1 << power;
            let series = Series::new();
            handlings.iter().for_each(|(waits, end)| handle(&series, timed_one_in, *waits, *end));
            let failed = handlings.iter().filter(|(_, end)| matches!(end, End::Fails | End::Panics)).count();
            let sampled = handlings.iter().step_by(timed_one_in as usize);
            let timed = sampled.filter(|(_, end)| *end != End::Dropped).count();
            let read = series.read(tokio::time::Instant::now());
            prop_assert_eq!((read.messages, read.failures), (handlings.len() as u64, failed as u64));
            prop_assert_eq!(read.handling_ns.count, timed as u64);
        }
    }
}
