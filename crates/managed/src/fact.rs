//! The facts that a roster is folded from: what is recorded as events.

use std::collections::BTreeSet;
use std::fmt;

use foundation_kernel::names::ServiceName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::needs::Need;
use super::replacement::{ReplacementStrategy, ServiceStep};
use foundation_discovery::Capability;

/// Where the configuration of a service is.
///
/// A value is recorded in events as it is, so it has no secrets. A section of the config server is not copied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServiceConfig {
    /// The configuration itself, without secrets.
    Value(Value),
    /// The path of a section of the config server.
    Section(String),
}

/// Whether a service is to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DesiredState {
    /// It was never started.
    #[default]
    Declared,
    /// It is to run.
    Running,
    /// It is not to run any more.
    Stopped,
}

/// One generation of a service: its number, and what it is made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServiceGeneration {
    /// Its number.
    pub generation: u64,
    /// Its configuration.
    pub config: ServiceConfig,
    /// What it needs.
    pub needs: Vec<Need>,
    /// What it provides.
    #[serde(with = "texts")]
    pub provides: Vec<Capability>,
}

/// A recorded change of the desired state of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServiceFact {
    /// A service was declared.
    Declared {
        /// Its name.
        name: ServiceName,
        /// Its kind.
        kind: String,
        /// Its configuration.
        config: ServiceConfig,
        /// What it needs.
        needs: Vec<Need>,
        /// What it provides.
        #[serde(with = "texts")]
        provides: Vec<Capability>,
    },
    /// A service is wanted running, or not; wanted running anew if `restart` is set.
    Wanted {
        /// Its name.
        name: ServiceName,
        /// Whether it is to run.
        state: DesiredState,
        /// Whether a new generation begins.
        #[serde(default)]
        restart: bool,
    },
    /// A service has another configuration.
    Configured {
        /// Its name.
        name: ServiceName,
        /// Its configuration.
        config: ServiceConfig,
        /// What it needs with it.
        needs: Vec<Need>,
        /// What it provides with it.
        #[serde(with = "texts")]
        provides: Vec<Capability>,
        /// How the running service gets it.
        strategy: ReplacementStrategy,
        /// Which generation ran when it was requested, if that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        running: Option<u64>,
    },
    /// A change of a service was taken back: an earlier generation, which runs still, is the desired one again.
    TakenBack {
        /// Its name.
        name: ServiceName,
        /// The generation that is desired from now on.
        #[serde(flatten)]
        to: ServiceGeneration,
    },
    /// A service was removed; it is to run no more.
    Removed {
        /// Its name.
        name: ServiceName,
    },
}

impl ServiceFact {
    /// The service.
    pub fn name(&self) -> &ServiceName {
        match self {
            Self::Declared { name, .. }
            | Self::Wanted { name, .. }
            | Self::Configured { name, .. }
            | Self::TakenBack { name, .. }
            | Self::Removed { name } => name,
        }
    }
}

/// What a batch changes, and how: recorded before the first step is taken.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BatchPlan {
    /// The changes of the roster. They count when the batch is done, all together.
    pub changes: Vec<ServiceFact>,
    /// The steps, in order.
    pub steps: Vec<PlannedStep>,
}

/// A step of a batch, with the steps that take it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlannedStep {
    /// The step.
    pub take: ServiceStep,
    /// Its undo, in order; nothing if there is nothing to take back, such as the end of a service that did not work.
    pub undo: Vec<ServiceStep>,
}

impl BatchPlan {
    /// The steps that take back the first steps, as many as were begun, the last one first.
    ///
    /// The undo of a step takes back also one that was not completed, or not begun at all.
    pub fn undo_of_first(&self, begun: usize) -> impl Iterator<Item = &ServiceStep> {
        self.steps.iter().take(begun).rev().flat_map(|step| &step.undo)
    }

    /// The services that lose what is in their state if the first steps are taken back.
    pub(super) fn restarted_by_first(&self, begun: usize) -> Vec<ServiceName> {
        let is_started =
            |step: &ServiceStep| matches!(step, ServiceStep::Start { .. } | ServiceStep::StartBeside { .. });
        let started = self.undo_of_first(begun).filter(|step| is_started(step)).map(ServiceStep::name);
        started.cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// How a batch ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BatchOutcome {
    /// All steps were taken.
    Done,
    /// The steps that were taken are taken back.
    Undone {
        /// The step that failed, counted from 0; `None` if the server ended meanwhile.
        failed: Option<usize>,
        /// Why.
        why: String,
    },
}

/// A recorded change of a roster.
///
/// | kind of the event | payload |
/// |---|---|
/// | `service_declared` | `name`, `kind`, `config`, `needs`, `provides` |
/// | `service_wanted` | `name`, `state`, `restart` |
/// | `service_configured` | `name`, `config`, `needs`, `provides`, `strategy`, `running` |
/// | `service_taken_back` | `name`, `generation`, `config`, `needs`, `provides` |
/// | `service_removed` | `name` |
/// | `batch_begun` | `changes`, and `steps`, each to `take` and with its `undo` |
/// | `batch_ended` | `done`, or `undone` with `failed` and `why` |
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RosterFact {
    /// The desired state of one service changed.
    Service(ServiceFact),
    /// A batch was begun.
    BatchBegun(BatchPlan),
    /// The batch that was begun has ended.
    BatchEnded(BatchOutcome),
}

const BATCH_BEGUN: &str = "batch_begun";
const BATCH_ENDED: &str = "batch_ended";

impl RosterFact {
    /// The kinds of the events that facts are recorded as.
    pub const EVENT_KINDS: [&'static str; 7] = [
        "service_declared",
        "service_wanted",
        "service_configured",
        "service_taken_back",
        "service_removed",
        BATCH_BEGUN,
        BATCH_ENDED,
    ];

    /// The kind of the event that records it.
    pub fn event_kind(&self) -> &'static str {
        let at = match self {
            Self::Service(ServiceFact::Declared { .. }) => 0,
            Self::Service(ServiceFact::Wanted { .. }) => 1,
            Self::Service(ServiceFact::Configured { .. }) => 2,
            Self::Service(ServiceFact::TakenBack { .. }) => 3,
            Self::Service(ServiceFact::Removed { .. }) => 4,
            Self::BatchBegun(_) => 5,
            Self::BatchEnded(_) => 6,
        };
        Self::EVENT_KINDS[at]
    }

    /// The payload of the event that records it.
    ///
    /// # Errors
    /// [`RosterFactError`] if a part of it is no JSON, which no known part is.
    pub fn to_payload(&self) -> Result<Value, RosterFactError> {
        let payload = match self {
            // As `{"declared": {…}}`, of which the kind of the event says the first part.
            Self::Service(fact) => serde_json::to_value(fact).map(inner),
            Self::BatchBegun(plan) => serde_json::to_value(plan),
            Self::BatchEnded(outcome) => serde_json::to_value(outcome),
        };
        payload.map_err(|source| RosterFactError { kind: self.event_kind(), source })
    }

    /// Reads an event; `None` if it is of another kind.
    ///
    /// # Errors
    /// [`RosterFactError`] if the payload is not that of its kind.
    pub fn of(event_kind: &str, payload: &Value) -> Result<Option<Self>, RosterFactError> {
        let Some(kind) = Self::EVENT_KINDS.into_iter().find(|it| *it == event_kind) else { return Ok(None) };
        let fact = match kind {
            BATCH_BEGUN => BatchPlan::deserialize(payload).map(Self::BatchBegun),
            BATCH_ENDED => BatchOutcome::deserialize(payload).map(Self::BatchEnded),
            _ => {
                let change = kind.trim_start_matches("service_");
                serde_json::from_value(serde_json::json!({ change: payload })).map(Self::Service)
            }
        };
        fact.map(Some).map_err(|source| RosterFactError { kind, source })
    }
}

fn inner(tagged: Value) -> Value {
    match tagged {
        Value::Object(map) => map.into_iter().next().map_or(Value::Null, |(_, value)| value),
        other => other,
    }
}

/// An event whose payload is not that of its kind.
#[derive(Debug, thiserror::Error)]
#[error("the payload of {kind} cannot be read: {source}")]
#[non_exhaustive]
pub struct RosterFactError {
    /// The kind of the event.
    pub kind: &'static str,
    /// What is wrong.
    #[source]
    pub source: serde_json::Error,
}

impl From<ServiceFact> for RosterFact {
    fn from(fact: ServiceFact) -> Self {
        Self::Service(fact)
    }
}

impl fmt::Display for DesiredState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Declared => "declared",
            Self::Running => "running",
            Self::Stopped => "stopped",
        })
    }
}

impl fmt::Display for BatchOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Undone { failed: Some(at), why } => write!(f, "undone since step {at} failed: {why}"),
            Self::Undone { failed: None, why } => write!(f, "undone: {why}"),
        }
    }
}

/// Capabilities as their texts.
pub(super) mod texts {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use foundation_discovery::Capability;

    pub(crate) fn serialize<S: Serializer>(capabilities: &[Capability], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(capabilities.iter().map(Capability::to_string))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Capability>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
    }
}
