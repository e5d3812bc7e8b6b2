//! The actors that the rows look up, message, stop and restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foundation::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use foundation::{ServiceKey, local_message};

/// Answers requests. As a parent, it outlives its children (ractor's default is to stop with the first).
pub(crate) struct Echo;

pub(crate) enum EchoMsg {
    Ping,
    Ask(RpcReplyPort<u64>),
}
local_message!(EchoMsg);

// A static and not a constant: a constant would be built anew at each use.
pub(crate) static ECHO: ServiceKey<EchoMsg> = ServiceKey::from_static("echo");

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
            // The caller may have stopped waiting.
            let _ = reply.send(1);
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<EchoMsg>,
        _: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

/// How many actors have ended properly.
#[derive(Clone, Default)]
pub(crate) struct Ends(Arc<[AtomicU64; 2]>);

impl Ends {
    /// The number of `post_stop`s that have run, and of destructors.
    pub(crate) fn counted(&self) -> (u64, u64) {
        let [stopped, dropped] = &*self.0;
        (stopped.load(Ordering::Acquire), dropped.load(Ordering::Acquire))
    }
}

/// Counts its `post_stop` and its state's destructor.
pub(crate) struct Mortal(pub(crate) Ends);

pub(crate) struct Remains(Ends);

impl Drop for Remains {
    fn drop(&mut self) {
        self.0.0[1].fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Mortal {
    type Msg = EchoMsg;
    type State = Remains;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<EchoMsg>, (): ()) -> Result<Remains, ActorProcessingErr> {
        Ok(Remains(self.0.clone()))
    }

    async fn post_stop(&self, _: ActorRef<EchoMsg>, remains: &mut Remains) -> Result<(), ActorProcessingErr> {
        remains.0.0[0].fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
}
