//! The seam between a managed actor and whoever measures it.

use ractor::{ActorId, ActorProcessingErr};
use tracing::Span;

/// What the handling of one message comes to.
pub(crate) type Handled = Result<(), ActorProcessingErr>;

/// Is asked by a managed actor for each message, and may put something around its handling.
pub(crate) trait Metering: Send + Sync + 'static {
    /// A handling with what is put around it.
    type Metered<'a, F: Future<Output = Handled> + Send>: Future<Output = Handled> + Send
    where
        Self: 'a;

    fn meter<F: Future<Output = Handled> + Send>(&self, actor: ActorId, handling: F) -> Self::Metered<'_, F>;

    /// What an actor does before its first message and after its last one is done in this span.
    fn span(&self, _: Life, _: ActorId) -> Span {
        Span::none()
    }
}

/// What an actor does once in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Its `pre_start` or its `post_start`.
    Start,
    /// Its `post_stop`.
    Stop,
}

/// Nobody measures, and it costs nothing.
impl Metering for () {
    type Metered<'a, F: Future<Output = Handled> + Send> = F;

    fn meter<F: Future<Output = Handled> + Send>(&self, _: ActorId, handling: F) -> F {
        handling
    }
}
