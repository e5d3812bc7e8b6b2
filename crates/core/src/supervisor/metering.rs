//! The seam between a managed actor and whoever measures it.

use ractor::{ActorId, ActorProcessingErr};

/// What the handling of one message comes to.
pub(crate) type Handled = Result<(), ActorProcessingErr>;

/// Is asked by a managed actor for each message, and may put something around its handling.
pub(crate) trait Metering: Send + Sync + 'static {
    /// A handling with what is put around it.
    type Metered<'a, F: Future<Output = Handled> + Send>: Future<Output = Handled> + Send
    where
        Self: 'a;

    fn meter<F: Future<Output = Handled> + Send>(&self, actor: ActorId, handling: F) -> Self::Metered<'_, F>;
}

/// Nobody measures, and it costs nothing.
impl Metering for () {
    type Metered<'a, F: Future<Output = Handled> + Send> = F;

    fn meter<F: Future<Output = Handled> + Send>(&self, _: ActorId, handling: F) -> F {
        handling
    }
}
