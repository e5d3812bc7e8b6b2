//! The config server's actor: decides, records, then changes.

use std::sync::Arc;
use std::time::Duration;

use foundation_core::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation_core::{ServiceKey, local_message};
use serde_json::Value;
use tokio::time::timeout;
use uuid::Uuid;

use super::change::ConfigChange;
use super::current::Current;
use super::error::ConfigError;
use super::path::ConfigPath;
use super::subscription::ConfigChanged;
use super::tree::ConfigTree;
use super::update::{ConfigStatus, ConfigUpdateError};
use crate::events::{Event, EventId, EventKind, EventStore, EventStoreError, NewEvent, Query};
use crate::telemetry::Telemetry;

/// The name of the config server in each namespace.
pub(super) const CONFIG_SERVER: ServiceKey<ConfigMsg> = ServiceKey::new("config_server");
/// What a change is recorded as.
const CONFIG_UPDATED: EventKind = EventKind::from_static("config_updated");
/// How long a start waits for the event store, which may be restarting itself; well below the time that a start may take.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long it may take to learn what came of a recording that was not answered. With the time that the recording itself
/// may take this stays below the time that whoever wants the change waits.
const INQUIRY_LIMIT: Duration = Duration::from_secs(4);

type Answer = RpcReplyPort<Result<ConfigChanged, ConfigUpdateError>>;

pub(super) enum ConfigMsg {
    Update(ConfigPath, Value, Answer),
    Reset(ConfigPath, Answer),
    Status(RpcReplyPort<ConfigStatus>),
}
local_message!(ConfigMsg);

/// What the server works with.
pub(super) struct ConfigServerActor {
    pub(super) current: Arc<Current>,
    pub(super) events: EventStore,
    pub(super) telemetry: Telemetry,
}

/// Whether every recorded change is made.
pub(super) enum Records {
    /// It is; a decision is taken on the truth.
    Made,
    /// A recording was not answered: the store may have a change that is not made.
    Unclear,
}

impl ConfigServerActor {
    // ---- what is recorded ----

    /// Makes every change that is recorded and not made, in order, and waits for the store if it is not there.
    async fn catch_up(&self) -> Result<Vec<(Uuid, ConfigChanged)>, ActorProcessingErr> {
        loop {
            self.events.wait_until_up(START_LIMIT).await?;
            match self.events.query(Query::new().kind(CONFIG_UPDATED)).await {
                Ok(recorded) => return Ok(self.make_all(&recorded)),
                Err(EventStoreError::Log(error)) => return Err(error.into()),
                // It ended between the two: its successor will answer.
                Err(EventStoreError::NotDelivered { .. } | EventStoreError::NoAnswer { .. }) => {}
            }
        }
    }

    fn make_all(&self, recorded: &[Arc<Event>]) -> Vec<(Uuid, ConfigChanged)> {
        let seen = self.current.seen();
        let ours = |event: &&Arc<Event>| event.service() == Some(CONFIG_SERVER.name().as_str());
        let new = recorded.iter().filter(ours).filter(|event| Some(event.id) > seen);
        new.filter_map(|event| Some((event.correlation_id, self.make_again(event)?))).collect()
    }

    fn make_again(&self, event: &Event) -> Option<ConfigChanged> {
        match decide_again(&self.current.tree(), event) {
            Ok((change, next)) if !change.is_noop() => Some(self.make(change, next, event.id)),
            Ok(_) => {
                self.current.pass_over(event.id);
                None
            }
            Err(error) => {
                tracing::warn!(event = %event.id, %error, "a recorded change no longer applies");
                self.current.pass_over(event.id);
                None
            }
        }
    }

    fn make(&self, change: ConfigChange, next: ConfigTree, event: EventId) -> ConfigChanged {
        let changed = ConfigChanged { change, generation: next.generation(), event: Some(event) };
        self.current.make(next, event, &changed);
        self.telemetry.count("config.updates");
        changed
    }

    // ---- one change ----

    /// A decision becomes a change only when it is recorded; if it cannot be, the old value stays.
    async fn change(
        &self,
        records: &mut Records,
        decide: impl FnOnce(&ConfigTree) -> Result<ConfigChange, ConfigError>,
    ) -> Result<ConfigChanged, ConfigUpdateError> {
        self.settle(records).await?;
        let tree = self.current.tree();
        let change = decide(&tree)?;
        if change.is_noop() {
            return Ok(ConfigChanged { change, generation: tree.generation(), event: None });
        }
        // Applied before it is recorded, to a copy: a change that cannot be applied is not to be recorded.
        let next = tree.apply(&change)?;
        let event = NewEvent::of(CONFIG_UPDATED).source(CONFIG_SERVER.name().as_str()).payload(&change);
        let event = event.map_err(|error| ConfigUpdateError::NotRecorded(error.into()))?;
        let correlation = event.correlation_id();
        match self.events.append(event).await {
            Ok(event) => Ok(self.make(change, next, event)),
            Err(error @ EventStoreError::NoAnswer { .. }) => self.inquire(records, correlation, error).await,
            Err(error) => Err(ConfigUpdateError::NotRecorded(error)),
        }
    }

    /// What came of a recording that was not answered. The store takes one request after the other, and what a store
    /// that ended had not done is never done: so the next answer, this one's or its successor's, settles it.
    async fn inquire(
        &self,
        records: &mut Records,
        correlation: Uuid,
        error: EventStoreError,
    ) -> Result<ConfigChanged, ConfigUpdateError> {
        *records = Records::Unclear;
        let Ok(Ok(made)) = timeout(INQUIRY_LIMIT, self.catch_up()).await else {
            return Err(ConfigUpdateError::NoAnswer { reason: error.to_string() });
        };
        *records = Records::Made;
        let ours = made.into_iter().find(|(recorded, _)| *recorded == correlation);
        ours.map(|(_, changed)| changed).ok_or(ConfigUpdateError::NotRecorded(error))
    }

    async fn settle(&self, records: &mut Records) -> Result<(), ConfigUpdateError> {
        if let Records::Unclear = records {
            let unsettled = |reason| ConfigUpdateError::NotRecorded(EventStoreError::NoAnswer { reason });
            let caught_up = timeout(INQUIRY_LIMIT, self.catch_up()).await;
            let caught_up = caught_up.map_err(|_| unsettled(format!("no answer within {INQUIRY_LIMIT:?}")))?;
            caught_up.map_err(|error| unsettled(error.to_string()))?;
            *records = Records::Made;
        }
        Ok(())
    }

    async fn answer(
        &self,
        reply: Answer,
        records: &mut Records,
        decide: impl FnOnce(&ConfigTree) -> Result<ConfigChange, ConfigError>,
    ) {
        let result = self.change(records, decide).await;
        if result.is_err() {
            self.telemetry.count("config.updates_refused");
        }
        let _ = reply.send(result);
    }

    fn status(&self) -> ConfigStatus {
        let tree = self.current.tree();
        ConfigStatus {
            generation: tree.generation(),
            paths: tree.paths().count(),
            overrides: tree.overrides().count(),
            subscribers: self.current.subscribers(),
        }
    }
}

fn decide_again(tree: &ConfigTree, event: &Event) -> Result<(ConfigChange, ConfigTree), Box<dyn std::error::Error>> {
    let recorded: ConfigChange = event.payload_as()?;
    let change = ConfigChange::decide(tree, recorded.path.as_str(), recorded.new)?;
    let next = tree.apply(&change)?;
    Ok((change, next))
}

#[cfg_attr(feature = "async-trait", foundation_core::ractor::async_trait)]
impl Actor for ConfigServerActor {
    type Msg = ConfigMsg;
    type State = Records;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<ConfigMsg>, (): ()) -> Result<Records, ActorProcessingErr> {
        let late = |_| format!("the event store did not tell within {START_LIMIT:?} which changes are recorded");
        timeout(START_LIMIT, self.catch_up()).await.map_err(late)??;
        Ok(Records::Made)
    }

    async fn post_stop(&self, _: ActorRef<ConfigMsg>, _: &mut Records) -> Result<(), ActorProcessingErr> {
        // In order: the namespace goes down. After a crash this does not run, and the subscribers stay.
        self.current.end_subscriptions();
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<ConfigMsg>,
        message: ConfigMsg,
        records: &mut Records,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ConfigMsg::Update(path, value, reply) => {
                self.answer(reply, records, |tree| ConfigChange::decide(tree, path.as_str(), value)).await;
            }
            ConfigMsg::Reset(path, reply) => {
                self.answer(reply, records, |tree| ConfigChange::reset(tree, path.as_str())).await;
            }
            ConfigMsg::Status(reply) => drop(reply.send(self.status())),
        }
        Ok(())
    }
}
