//! The meter of one actor, which measures each message that it handles.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use ractor::ActorId;
use tokio::time::Instant;
use tracing::{Span, debug_span, info_span};

use super::{Measures, Series};
use crate::registry::measures::measurement::Measurement;
use crate::registry::names::Holder;
use crate::supervisor::{Handled, Life, Metering};

/// The target of the spans of messages.
const TARGET: &str = "foundation::service";
/// The target of the spans of starts and stops.
const LIFE: &str = "foundation::lifecycle";

/// Measures one incarnation of a name, for as long as it has the name.
pub(crate) struct Meter {
    timed_one_in: Option<u64>,
    holder: Arc<Holder>,
    measures: Arc<Measures>,
    /// Set at the first message: a service without messages has none.
    series: OnceLock<Arc<Series>>,
}

impl Meter {
    pub(crate) fn new(measures: &Arc<Measures>, holder: &Arc<Holder>, measurement: Option<Measurement>) -> Self {
        Self {
            timed_one_in: measurement.unwrap_or(measures.measurement()).timed_one_in(),
            holder: Arc::clone(holder),
            measures: Arc::clone(measures),
            series: OnceLock::new(),
        }
    }

    #[inline]
    fn begin(&self) -> Option<Measuring<'_>> {
        let timed_one_in = self.timed_one_in?;
        // An actor that has lost the name no longer acts under it.
        if self.holder.is_retired() {
            return None;
        }
        let series = self.series.get_or_init(|| self.measures.series(self.holder.name()));
        Some(Measuring::begin(series, timed_one_in))
    }

    /// `None` if no subscriber wants it; then nothing is made.
    #[inline]
    fn message_span(&self, actor: ActorId) -> Option<Span> {
        let (namespace, service) = (self.measures.namespace(), self.holder.name());
        let span = debug_span!(target: TARGET, "handle", %namespace, %service, %actor);
        (!span.is_disabled()).then_some(span)
    }
}

impl Metering for Meter {
    type Metered<'a, F: Future<Output = Handled> + Send> = Metered<'a, F>;

    #[inline]
    fn meter<F: Future<Output = Handled> + Send>(&self, actor: ActorId, handling: F) -> Metered<'_, F> {
        match self.begin() {
            Some(measuring) => Metered::new(handling, self.message_span(actor), Some(measuring)),
            None => Metered::new(handling, None, None),
        }
    }

    fn span(&self, life: Life, actor: ActorId) -> Span {
        if self.timed_one_in.is_none() {
            return Span::none();
        }
        let (namespace, service) = (self.measures.namespace(), self.holder.name());
        match life {
            Life::Start => info_span!(target: LIFE, "start", %namespace, %service, %actor),
            Life::Stop => info_span!(target: LIFE, "stop", %namespace, %service, %actor),
        }
    }
}

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
    fn new(handling: F, span: Option<Span>, measuring: Option<Measuring<'a>>) -> Self {
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

/// From the beginning of a handling until it has returned, or until it is dropped half way.
struct Measuring<'a> {
    series: &'a Series,
    /// Since when, if it is timed.
    timed: Option<Instant>,
    /// Whether the handling had to wait: then the activity goes on after its beginning, and a clock costs little beside
    /// it.
    waited: bool,
    returned: bool,
}

impl<'a> Measuring<'a> {
    #[inline]
    fn begin(series: &'a Series, timed_one_in: u64) -> Self {
        Self { series, timed: series.begin(timed_one_in), waited: false, returned: false }
    }

    fn waits(&mut self) {
        self.waited = true;
    }

    #[inline]
    fn returned(mut self, failed: bool) {
        self.returned = true;
        if failed || self.waited || self.timed.is_some() {
            self.series.end(self.timed, failed);
        }
    }
}

impl Drop for Measuring<'_> {
    /// A handling that does not return has panicked, or was killed: that is not its failure, and its time says nothing.
    #[inline]
    fn drop(&mut self) {
        if !self.returned && std::thread::panicking() {
            self.series.end(self.timed, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use futures::FutureExt;
    use proptest::prelude::*;

    use super::*;
    use crate::namespace::{Namespace, ServiceName};

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
            (0, End::Fails) => Poll::Ready(Err("asked to fail".into())),
            (0, End::Panics) => panic!("asked to panic"),
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
            let (measures, name) = (Measures::new(Namespace::test(), Measurement::Full), ServiceName::from_static("a"));
            let series = measures.series(&name);
            handlings.iter().for_each(|(waits, end)| handle(&series, timed_one_in, *waits, *end));
            let failed = handlings.iter().filter(|(_, end)| matches!(end, End::Fails | End::Panics)).count();
            let sampled = handlings.iter().step_by(timed_one_in as usize);
            let timed = sampled.filter(|(_, end)| *end != End::Dropped).count();
            let read = measures.of(&name, Instant::now()).expect("it has been measured");
            prop_assert_eq!((read.messages, read.failures), (handlings.len() as u64, failed as u64));
            prop_assert_eq!(read.handling_ns.count, timed as u64);
        }
    }
}
