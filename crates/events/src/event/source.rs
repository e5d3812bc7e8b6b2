use std::fmt;

use foundation_kernel::names::ServiceName;
use foundation_kernel::ractor::ActorId;
use serde::{Deserialize, Serialize};

/// The reporter of an event: a service, by its name, and which incarnation of it.
///
/// A text or a [`ServiceName`] converts into one.
///
/// ```
/// use foundation_events::{EventSource, NewEvent};
///
/// let source = EventSource::new("shop").actor("0.7");
/// assert_eq!(source.to_string(), "shop (actor 0.7)");
/// let placed = NewEvent::new("order_placed")?.source("shop");
/// # Ok::<(), foundation_events::EventError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventSource {
    /// The name of the service.
    pub service: String,
    /// The id of the actor that had the name, as text: it outlives the process whose actors it numbers.
    #[serde(default)]
    pub actor_id: Option<String>,
}

impl EventSource {
    /// The service of this name, whichever actor it is.
    pub fn new(service: impl Into<String>) -> Self {
        Self { service: service.into(), actor_id: None }
    }

    /// The same service, as this actor.
    pub fn actor(mut self, id: impl Into<String>) -> Self {
        self.actor_id = Some(id.into());
        self
    }

    /// Whether another source meets this one as a condition: the services are the same, and so are the actors if this
    /// one names any.
    pub(crate) fn is_met_by(&self, other: &Self) -> bool {
        self.service == other.service && (self.actor_id.is_none() || self.actor_id == other.actor_id)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.service.len() + self.actor_id.as_ref().map_or(0, String::len)
    }
}

impl fmt::Display for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.actor_id {
            None => f.write_str(&self.service),
            Some(actor) => write!(f, "{} (actor {actor})", self.service),
        }
    }
}

impl From<&str> for EventSource {
    fn from(service: &str) -> Self {
        Self::new(service)
    }
}

impl From<String> for EventSource {
    fn from(service: String) -> Self {
        Self::new(service)
    }
}

impl From<&ServiceName> for EventSource {
    fn from(service: &ServiceName) -> Self {
        Self::new(service.as_str())
    }
}

impl From<(&ServiceName, ActorId)> for EventSource {
    fn from((service, actor): (&ServiceName, ActorId)) -> Self {
        Self::new(service.as_str()).actor(actor.to_string())
    }
}
