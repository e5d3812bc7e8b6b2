//! The actor that is found, sent to and restarted in every row.

use foundation::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use foundation::{ServiceKey, local_message};

pub(crate) struct Echo;

pub(crate) enum EchoMsg {
    Ping,
    Ask(RpcReplyPort<u64>),
}
local_message!(EchoMsg);

pub(crate) const ECHO: ServiceKey<EchoMsg> = ServiceKey::new("echo");

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Echo {
    type Msg = EchoMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<EchoMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<EchoMsg>, message: EchoMsg, (): &mut ()) -> Result<(), ActorProcessingErr> {
        if let EchoMsg::Ask(reply) = message {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(1);
        }
        Ok(())
    }

    // As a parent it outlives its children; ractor's default is to stop with the first.
    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<EchoMsg>,
        _: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}
