//! An actor that does nothing, for unit tests.

use ractor::{Actor, ActorProcessingErr, ActorRef};

pub(crate) struct Idle;

pub(crate) struct IdleMsg;
crate::local_message!(IdleMsg);

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl Actor for Idle {
    type Msg = IdleMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<IdleMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}
