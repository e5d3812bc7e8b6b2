//! The actor that a task is.

use futures::future::BoxFuture;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef};

use super::error::TaskError;
use crate::containment::ContainedFuture;
use crate::supervisor::error::BoxError;

/// How a task's future came to its end.
pub(super) enum Ending {
    /// By itself.
    Finished,
    /// Because its supervisor asked: the stop that comes next is the supervisor's.
    Asked,
    /// By a panic, or by its own error.
    Failed(BoxError),
}

impl From<TaskError> for Ending {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::Shutdown => Self::Asked,
            error => Self::Failed(error.into()),
        }
    }
}

/// One life of a task: given its actor's id, what it does from its start to its end.
pub(super) type Life = Box<dyn FnOnce(ActorId) -> BoxFuture<'static, Ending> + Send>;

/// An actor that lives one life. It reads no message: only a kill ends it from outside, and what its supervisor asks for
/// it hears through the signal that is in its life.
pub(super) struct TaskActor;

/// What nobody ever sends.
pub(super) enum Silence {}
crate::local_message!(Silence);

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl Actor for TaskActor {
    type Msg = Silence;
    type State = Option<BoxFuture<'static, Ending>>;
    type Arguments = Life;

    async fn pre_start(&self, myself: ActorRef<Silence>, life: Life) -> Result<Self::State, ActorProcessingErr> {
        Ok(Some(life(myself.get_id())))
    }

    // Here and not in a message to itself: a kill breaks in all the same, and it costs no message.
    async fn post_start(&self, myself: ActorRef<Silence>, state: &mut Self::State) -> Result<(), ActorProcessingErr> {
        let Some(life) = state.take() else { return Ok(()) };
        match ContainedFuture::new("a task", life).await {
            Ok(Ending::Finished) => myself.stop(None),
            Ok(Ending::Asked) => {}
            Ok(Ending::Failed(cause)) => return Err(cause),
            Err(panic) => return Err(panic.into_text().into()),
        }
        Ok(())
    }
}
