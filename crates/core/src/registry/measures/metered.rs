//! The handling of one message with what is put around it.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tracing::Span;
use tracing::instrument::{Instrument, Instrumented};

use super::measuring::Measuring;
use crate::supervisor::Handled;

pin_project! {
    /// A handling within its span, and measured. Both end with it, so before the actor's next message.
    pub(crate) struct Metered<'a, F> {
        // Dropped first: what a handler that panics or is killed has on its stack still belongs to its message.
        #[pin]
        handling: Instrumented<F>,
        // `None` if it is not measured, or is over.
        measuring: Option<Measuring<'a>>,
    }
}

impl<'a, F> Metered<'a, F> {
    pub(super) fn new(handling: F, span: Span, measuring: Option<Measuring<'a>>) -> Self {
        Self { handling: handling.instrument(span), measuring }
    }
}

impl<F: Future<Output = Handled>> Future for Metered<'_, F> {
    type Output = Handled;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Handled> {
        let this = self.project();
        let polled = this.handling.poll(context);
        match &polled {
            Poll::Ready(handled) => {
                if let Some(measuring) = this.measuring.take() {
                    measuring.returned(handled.is_err());
                }
            }
            Poll::Pending => {
                if let Some(measuring) = this.measuring {
                    measuring.waits();
                }
            }
        }
        polled
    }
}
