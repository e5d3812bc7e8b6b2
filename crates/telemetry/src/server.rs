//! The telemetry actor: it changes the list of handlers, reads, and does the work of each tick.

use std::cell::OnceCell;
use std::sync::Arc;

use foundation_kernel::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation_kernel::{ServiceRegistry, answer};
use tokio::time::Instant;

use super::exporter::Exports;
use super::hub::Hub;
use super::message::TelemetryMsg;
use super::options::TelemetryOptions;
use super::runtime::RuntimeGauges;
use super::services;
use super::ticker::Ticker;

pub(super) struct TelemetryServer {
    pub(super) hub: Arc<Hub>,
    pub(super) registry: ServiceRegistry,
    pub(super) options: TelemetryOptions,
    pub(super) exports: Arc<Exports>,
}

/// State that ends with the actor; all else is the hub's.
pub(super) struct Running {
    /// Made for the first reading: the namespaces of most tests are never read. `None` if it is not wanted, or if its names
    /// belong to other instruments.
    runtime: OnceCell<Option<RuntimeGauges>>,
    _ticker: Ticker,
}

impl TelemetryServer {
    fn runtime<'a>(&self, running: &'a mut Running) -> Option<&'a RuntimeGauges> {
        let make = || self.options.runtime_metrics.then(|| RuntimeGauges::of(&self.hub).ok()).flatten();
        running.runtime.get_or_init(make).as_ref()
    }

    fn tick(&self, running: &mut Running) -> impl Future<Output = ()> + Send + use<> {
        let now = Instant::now();
        if let Some(runtime) = self.runtime(running) {
            runtime.sample();
        }
        let scrape = self.hub.tick(now, services::families(&self.registry));
        let exports = self.exports.hand_over(&self.hub, scrape);
        // After the reading: a retired series has been seen with its last value.
        if let Some(after) = self.options.idle_after {
            self.hub.retire(now, after);
        }
        exports
    }

    /// A tick on request, which is answered when the exporters have done their work.
    fn tick_for(&self, reply: RpcReplyPort<()>, running: &mut Running) {
        let exports = self.tick(running);
        if self.options.exporters.is_empty() {
            return answer(reply, ());
        }
        // On a task, which ends within the limit of exports, so that the actor can handle other messages meanwhile.
        tokio::spawn(async move {
            exports.await;
            answer(reply, ());
        });
    }
}

#[cfg_attr(feature = "async-trait", foundation_kernel::ractor::async_trait)]
impl Actor for TelemetryServer {
    type Msg = TelemetryMsg;
    type State = Running;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<TelemetryMsg>, (): ()) -> Result<Running, ActorProcessingErr> {
        Ok(Running { runtime: OnceCell::new(), _ticker: Ticker::start(myself, self.options.tick_every) })
    }

    async fn handle(
        &self,
        _: ActorRef<TelemetryMsg>,
        message: TelemetryMsg,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            TelemetryMsg::Attach(handler, reply) => answer(reply, self.hub.handlers.attach(handler)),
            TelemetryMsg::Detach(id, reply) => answer(reply, self.hub.handlers.detach(&id)),
            TelemetryMsg::Handlers(reply) => answer(reply, self.hub.handlers.ids()),
            TelemetryMsg::Scrape(reply) => {
                self.runtime(running);
                answer(reply, self.hub.scrape(services::families(&self.registry)));
            }
            TelemetryMsg::Tick(reply) => self.tick_for(reply, running),
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<TelemetryMsg>, running: &mut Running) -> Result<(), ActorProcessingErr> {
        // The others have stopped before: these are their last numbers. Rates go on with the next actor, if there is
        // one.
        if !self.options.exporters.is_empty() {
            self.tick(running).await;
        }
        Ok(())
    }
}
