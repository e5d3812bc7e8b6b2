//! The telemetry actor: it changes the list of handlers, reads, and does what is to be done at each tick.

use std::sync::Arc;

use foundation_core::ServiceRegistry;
use foundation_core::containment::{catch_panic, error_text};
use foundation_core::ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::time::Instant;

use super::exporter::{ExportError, Exporter};
use super::hub::Hub;
use super::message::TelemetryMsg;
use super::options::TelemetryOptions;
use super::runtime::RuntimeGauges;
use super::scrape::Scrape;
use super::services;
use super::ticker::Ticker;

pub(super) struct TelemetryServer {
    pub(super) hub: Arc<Hub>,
    pub(super) registry: ServiceRegistry,
    pub(super) options: TelemetryOptions,
}

/// What ends with the actor; all else is the hub's.
pub(super) struct Running {
    /// None if it is not wanted, or its names are other instruments'.
    runtime: Option<RuntimeGauges>,
    _ticker: Ticker,
}

impl TelemetryServer {
    fn tick(&self, running: &Running) {
        let now = Instant::now();
        if let Some(runtime) = &running.runtime {
            runtime.sample();
        }
        let scrape = self.hub.tick(now, services::families(&self.registry));
        self.options.exporters.iter().for_each(|exporter| self.export(&**exporter, &scrape));
        // After the export: whoever is retired has been seen as it was last.
        if let Some(after) = self.options.idle_after {
            self.hub.retire(now, after);
        }
    }

    fn export(&self, exporter: &dyn Exporter, scrape: &Scrape) {
        let Err(cause) = exported(exporter, scrape) else { return };
        self.hub.own.failed_exports.increment();
        let namespace = scrape.namespace;
        tracing::warn!(%namespace, cause, "telemetry could not be exported");
    }
}

fn exported(exporter: &dyn Exporter, scrape: &Scrape) -> Result<(), String> {
    // The error is others' as well, and so is its text.
    let text = |error: ExportError| error_text(&*error);
    catch_panic(|| exporter.export(scrape).map_err(text))
        .unwrap_or_else(|panic| Err(format!("the exporter panicked: {panic}")))
}

#[cfg_attr(feature = "async-trait", foundation_core::ractor::async_trait)]
impl Actor for TelemetryServer {
    type Msg = TelemetryMsg;
    type State = Running;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<TelemetryMsg>, (): ()) -> Result<Running, ActorProcessingErr> {
        let runtime = self.options.runtime_metrics.then(|| RuntimeGauges::of(&self.hub).ok()).flatten();
        Ok(Running { runtime, _ticker: Ticker::start(myself, self.options.tick_every) })
    }

    async fn handle(
        &self,
        _: ActorRef<TelemetryMsg>,
        message: TelemetryMsg,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            TelemetryMsg::Attach(handler, reply) => drop(reply.send(self.hub.handlers.attach(handler))),
            TelemetryMsg::Detach(id, reply) => drop(reply.send(self.hub.handlers.detach(&id))),
            TelemetryMsg::Handlers(reply) => drop(reply.send(self.hub.handlers.ids())),
            TelemetryMsg::Scrape(reply) => drop(reply.send(self.hub.scrape(services::families(&self.registry)))),
            TelemetryMsg::Tick(reply) => {
                self.tick(running);
                drop(reply.send(()));
            }
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<TelemetryMsg>, running: &mut Running) -> Result<(), ActorProcessingErr> {
        // The others have stopped before: these are their last numbers. Rates go on with the next actor, if there is one.
        if !self.options.exporters.is_empty() {
            self.tick(running);
        }
        Ok(())
    }
}
