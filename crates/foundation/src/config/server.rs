//! The config server's actor: decides, records, then changes.

use std::sync::Arc;

use foundation_core::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation_core::{ServiceKey, local_message};
use serde_json::Value;
use tokio::sync::{broadcast, watch};

use super::change::ConfigChange;
use super::client::{ConfigStatus, ConfigUpdateError};
use super::error::ConfigError;
use super::path::ConfigPath;
use super::subscription::ConfigChanged;
use super::tree::ConfigTree;
use crate::events::{EventId, EventKind, EventStore, NewEvent, Query};
use crate::telemetry::Telemetry;

/// The name of the config server in each namespace.
pub(crate) const CONFIG_SERVER: ServiceKey<ConfigMsg> = ServiceKey::new("config_server");
/// What a change is recorded as.
const CONFIG_UPDATED: EventKind = EventKind::from_static("config_updated");
/// How many changes a subscriber may be behind.
const BACKLOG: usize = 1_024;

type Answer = RpcReplyPort<Result<ConfigChanged, ConfigUpdateError>>;

pub(crate) enum ConfigMsg {
    Update(ConfigPath, Value, Answer),
    Reset(ConfigPath, Answer),
    Status(RpcReplyPort<ConfigStatus>),
}
local_message!(ConfigMsg);

/// The configuration of one namespace; it belongs to the namespace, so that readers and subscribers outlive the actor.
pub(crate) struct Current {
    base: Arc<ConfigTree>,
    pub(super) tree: watch::Sender<Arc<ConfigTree>>,
    pub(super) changes: broadcast::Sender<ConfigChanged>,
}

impl Current {
    pub(super) fn new(base: Arc<ConfigTree>) -> Self {
        Self { tree: watch::Sender::new(Arc::clone(&base)), changes: broadcast::Sender::new(BACKLOG), base }
    }
}

/// What the server works with.
pub(crate) struct ConfigServerActor {
    pub(super) current: Arc<Current>,
    pub(super) events: EventStore,
    pub(super) telemetry: Telemetry,
}

impl ConfigServerActor {
    /// The base with every recorded change made again, in order.
    async fn replay(&self) -> Result<ConfigTree, ActorProcessingErr> {
        let mut tree = ConfigTree::clone(&self.current.base);
        for event in self.events.query(Query::new().kind(CONFIG_UPDATED)).await? {
            match redo(&tree, &event) {
                Ok(next) => tree = next,
                Err(error) => tracing::warn!(event = %event.id, %error, "a recorded change no longer applies"),
            }
        }
        Ok(tree)
    }

    /// A decision becomes a change only when it is recorded; if it cannot be, the old value stays.
    async fn make(&self, decided: Result<ConfigChange, ConfigError>) -> Result<ConfigChanged, ConfigUpdateError> {
        let change = decided?;
        let tree = Arc::clone(&self.current.tree.borrow());
        if change.is_noop() {
            return Ok(ConfigChanged { change, generation: tree.generation(), event: None });
        }
        // Applied before it is recorded, to a copy: a change that cannot be applied is not to be recorded.
        let next = tree.apply(&change)?;
        let event = Some(self.record(&change).await?);
        let changed = ConfigChanged { change, generation: next.generation(), event };
        self.current.tree.send_replace(Arc::new(next));
        // No subscriber is no error.
        let _ = self.current.changes.send(changed.clone());
        Ok(changed)
    }

    async fn record(&self, change: &ConfigChange) -> Result<EventId, ConfigUpdateError> {
        let event = NewEvent::of(CONFIG_UPDATED).source(CONFIG_SERVER.name().as_str()).payload(change);
        let event = event.map_err(|error| ConfigUpdateError::NotRecorded(error.into()))?;
        self.events.append(event).await.map_err(ConfigUpdateError::NotRecorded)
    }

    async fn answer(&self, reply: Answer, decided: Result<ConfigChange, ConfigError>) {
        let result = self.make(decided).await;
        let counted = if result.is_ok() { "config.updates" } else { "config.updates_refused" };
        self.telemetry.count(counted);
        let _ = reply.send(result);
    }

    fn status(&self) -> ConfigStatus {
        let tree = self.current.tree.borrow();
        ConfigStatus {
            generation: tree.generation(),
            paths: tree.paths().count(),
            overrides: tree.overrides().count(),
            subscribers: self.current.changes.receiver_count(),
        }
    }
}

fn redo(tree: &ConfigTree, event: &crate::events::Event) -> Result<ConfigTree, Box<dyn std::error::Error>> {
    let recorded: ConfigChange = event.payload_as()?;
    let change = ConfigChange::decide(tree, recorded.path.as_str(), recorded.new)?;
    Ok(tree.apply(&change)?)
}

#[cfg_attr(feature = "async-trait", foundation_core::ractor::async_trait)]
impl Actor for ConfigServerActor {
    type Msg = ConfigMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<ConfigMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        let tree = self.replay().await?;
        self.current.tree.send_replace(Arc::new(tree));
        Ok(())
    }

    async fn handle(&self, _: ActorRef<ConfigMsg>, message: ConfigMsg, (): &mut ()) -> Result<(), ActorProcessingErr> {
        let tree = Arc::clone(&self.current.tree.borrow());
        match message {
            ConfigMsg::Update(path, value, reply) => {
                self.answer(reply, ConfigChange::decide(&tree, path.as_str(), value)).await;
            }
            ConfigMsg::Reset(path, reply) => self.answer(reply, ConfigChange::reset(&tree, path.as_str())).await,
            ConfigMsg::Status(reply) => drop(reply.send(self.status())),
        }
        Ok(())
    }
}
