//! The interface between a managed actor and its meter.

use ractor::{ActorId, ActorProcessingErr};
use tracing::Span;

/// The result of handling one message.
pub(crate) type Handled = Result<(), ActorProcessingErr>;

/// Called by a managed actor for each message; may wrap its handling.
pub(crate) trait Metering: Send + Sync + 'static {
    /// A wrapped handling.
    type Metered<'a, F: Future<Output = Handled> + Send>: Future<Output = Handled> + Send
    where
        Self: 'a;

    fn meter<F: Future<Output = Handled> + Send>(&self, actor: ActorId, handling: F) -> Self::Metered<'_, F>;

    /// The span of an actor's work before its first message and after its last one.
    fn span(&self, _: Life, _: ActorId) -> Span {
        Span::none()
    }
}

/// The phases that an actor passes once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Its `pre_start` or its `post_start`.
    Start,
    /// Its `post_stop`.
    Stop,
}

/// A meter that measures nothing, at no cost.
impl Metering for () {
    type Metered<'a, F: Future<Output = Handled> + Send> = F;

    fn meter<F: Future<Output = Handled> + Send>(&self, _: ActorId, handling: F) -> F {
        handling
    }
}
