//! The journal of the desired state: recorded as events, and read back.

use foundation_events::{EventKind, EventStore, EventStoreError, NewEvent, Query};
use foundation_kernel::names::ServiceRegistry;

use super::fact::{RosterFact, RosterFactError};
use super::roster::Roster;

/// The source of the events.
pub(super) const SOURCE: &str = "managed";

/// The events about managed services in the event store of a namespace.
#[derive(Clone)]
pub(super) struct Journal {
    events: EventStore,
}

/// Why the recorded services cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the services that are declared cannot be read: {0}")]
pub(super) enum JournalError {
    /// The store does not show them.
    Store(#[from] EventStoreError),
    /// One of the events is not as it was recorded.
    Fact(#[from] RosterFactError),
}

impl Journal {
    pub(super) fn of(names: &ServiceRegistry) -> Self {
        Self { events: EventStore::of(names) }
    }

    /// Records facts, all or none.
    pub(super) async fn record(&self, facts: &[RosterFact]) -> Result<(), EventStoreError> {
        let events = facts.iter().map(event).collect::<Result<Vec<_>, _>>()?;
        self.events.append_batch(events).await.map(drop)
    }

    /// The roster that follows from all recorded facts. What was requested before is in it, or never will be.
    pub(super) async fn read(&self) -> Result<Roster, JournalError> {
        // A store that has just failed may show too little: its writer says so.
        self.events.wait_until_settled().await?;
        let mut roster = Roster::new();
        for event in self.events.query(all()?).await? {
            let fact = RosterFact::of(event.kind.as_str(), &event.payload)?;
            fact.iter().for_each(|fact| roster.apply(fact));
        }
        Ok(roster)
    }
}

fn event(fact: &RosterFact) -> Result<NewEvent, EventStoreError> {
    // A fact is JSON: no part of it is refused.
    let payload = fact.to_payload().unwrap_or_default();
    Ok(NewEvent::new(fact.event_kind())?.source(SOURCE).payload(payload)?)
}

/// All facts, oldest first.
fn all() -> Result<Query, EventStoreError> {
    let kinds = RosterFact::EVENT_KINDS.into_iter().map(str::parse::<EventKind>).collect::<Result<Vec<_>, _>>()?;
    Ok(Query::new().kinds(kinds).source(SOURCE).limit(usize::MAX))
}
