//! The actor of a task.

use futures::future::BoxFuture;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef};

use super::error::TaskError;
use crate::containment::ContainedFuture;
use crate::supervisor::error::BoxError;

/// How a task's future ended.
pub(super) enum Ending {
    /// By itself.
    Finished,
    /// Its supervisor asked it to stop: the stop that comes next is the supervisor's.
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

/// One life of a task: given its actor's id, its work from its start to its end.
pub(super) type Life = Box<dyn FnOnce(ActorId) -> BoxFuture<'static, Ending> + Send>;

/// An actor that lives one life. It reads no message: only a kill ends it from outside, and its supervisor's requests
/// reach it through the signal in its life.
pub(super) struct TaskActor;

/// A message that is never sent.
pub(super) enum NoMessage {}
crate::local_message!(NoMessage);

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl Actor for TaskActor {
    type Msg = NoMessage;
    type State = Option<BoxFuture<'static, Ending>>;
    type Arguments = Life;

    async fn pre_start(&self, myself: ActorRef<NoMessage>, life: Life) -> Result<Self::State, ActorProcessingErr> {
        Ok(Some(life(myself.get_id())))
    }

    // Here and not in a message to itself: a kill breaks in all the same, and it costs no message.
    async fn post_start(&self, myself: ActorRef<NoMessage>, state: &mut Self::State) -> Result<(), ActorProcessingErr> {
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
