//! The telemetry actor: it changes the list of handlers, and reads.

use std::sync::Arc;

use foundation_core::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation_core::{ServiceKey, ServiceRegistry, Snapshot, local_message};

use super::error::TelemetryError;
use super::handler::Handler;
use super::hub::Hub;
use super::services;

/// The name of the telemetry service in each namespace.
pub(crate) const TELEMETRY: ServiceKey<TelemetryMsg> = ServiceKey::new("telemetry");

pub(crate) enum TelemetryMsg {
    Attach(Handler, RpcReplyPort<Result<(), TelemetryError>>),
    Detach(String, RpcReplyPort<bool>),
    Handlers(RpcReplyPort<Vec<String>>),
    Snapshot(RpcReplyPort<Snapshot>),
}
local_message!(TelemetryMsg);

pub(super) struct TelemetryServer {
    pub(super) hub: Arc<Hub>,
    pub(super) registry: ServiceRegistry,
}

#[cfg_attr(feature = "async-trait", foundation_core::ractor::async_trait)]
impl Actor for TelemetryServer {
    type Msg = TelemetryMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<TelemetryMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<TelemetryMsg>,
        message: TelemetryMsg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match message {
            TelemetryMsg::Attach(handler, reply) => drop(reply.send(self.hub.attach(handler))),
            TelemetryMsg::Detach(id, reply) => drop(reply.send(self.hub.detach(&id))),
            TelemetryMsg::Handlers(reply) => drop(reply.send(self.hub.handler_ids())),
            TelemetryMsg::Snapshot(reply) => {
                let mut snapshot = self.registry.counters();
                snapshot.extend(services::readings(&self.registry));
                snapshot.extend(self.hub.read());
                drop(reply.send(snapshot));
            }
        }
        Ok(())
    }
}
