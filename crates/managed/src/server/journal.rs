//! The journal of the desired state: recorded as events, and read back.

use foundation_events::{Event, EventError, EventId, EventKind, EventStore, EventStoreError, Hold, NewEvent, Query};
use foundation_kernel::names::ServiceRegistry;

use crate::fact::{RosterFact, RosterFactError};
use crate::roster::Roster;
use crate::roster::checkpoint::CheckpointPart;

/// The source of the events.
pub(crate) const SOURCE: &str = "managed";

/// The kind of the event that begins a record of all of it anew, so that older events can be pruned.
const CHECKPOINT: EventKind = EventKind::from_static("roster_checkpoint");

/// The kind of the events that follow it, one for each service: as small as the event that declared it.
const CHECKPOINT_SERVICE: EventKind = EventKind::from_static("roster_service");

/// The kind of the event that follows a service which has a former generation.
const CHECKPOINT_FORMER: EventKind = EventKind::from_static("roster_former");

/// The events about managed services in the event store of a namespace.
///
/// They are held against pruning from the last checkpoint on, or from the first of them.
#[derive(Clone)]
pub(crate) struct Journal {
    events: EventStore,
    hold: Hold,
}

/// Why the recorded services cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// The store does not show them.
    #[error("the services that are declared cannot be read: {0}")]
    Store(#[from] EventStoreError),
    /// An event is not as it was recorded.
    #[error("the services that are declared cannot be read: event {id}, {kind}: {source}")]
    Event {
        /// The event.
        id: EventId,
        /// Its kind.
        kind: EventKind,
        /// What is wrong with it.
        source: FactError,
    },
}

/// What is wrong with one of the events.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FactError {
    /// It is no fact.
    #[error(transparent)]
    Fact(#[from] RosterFactError),
    /// It is no part of a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] EventError),
}

impl Journal {
    pub(crate) fn of(names: &ServiceRegistry) -> Self {
        let events = EventStore::of(names);
        let hold = events.hold().of(SOURCE);
        Self { events, hold }
    }

    // ---- retention ----

    /// Keeps all events until it is known which are needed: what an earlier process recorded exists as events only.
    pub(crate) fn hold_all(&self) {
        self.hold.keep_from(Some(EventId::FIRST));
    }

    /// Sets what runs when events that are held are to be pruned.
    pub(crate) fn on_pruning(&self, notify: impl Fn() + Send + Sync + 'static) {
        self.hold.held_by(notify);
    }

    /// Records all of it anew, and lets go of the events before.
    pub(crate) async fn checkpoint(&self, roster: &Roster) -> Result<(), EventStoreError> {
        if roster.is_empty() && roster.open_batch().is_none() {
            self.hold.keep_from(None);
            return Ok(());
        }
        let events = roster.checkpoint().iter().map(checkpoint_event).collect::<Result<Vec<_>, _>>()?;
        let ids = self.events.append_batch(events).await?;
        ids.first().iter().for_each(|first| self.hold.keep_from(Some(**first)));
        Ok(())
    }

    // ---- writing and reading ----

    /// Records facts, all or none.
    pub(crate) async fn record(&self, facts: &[RosterFact]) -> Result<(), EventStoreError> {
        let events = facts.iter().map(event).collect::<Result<Vec<_>, _>>()?;
        // Before it is recorded: afterwards it might be pruned already.
        self.events.hold_from_here_as(&self.hold);
        self.events.append_batch(events).await.map(drop)
    }

    /// The roster that follows from all recorded facts. What was requested before is in it, or never will be.
    pub(crate) async fn read(&self) -> Result<Roster, JournalError> {
        // A store that has just failed may show too little: its writer says so.
        self.events.wait_until_settled().await?;
        let (mut roster, mut first) = (Roster::new(), None);
        for event in self.events.query(all()?).await? {
            restore(&mut roster, &event).map_err(|source| JournalError::Event {
                id: event.id,
                kind: event.kind.clone(),
                source,
            })?;
            if event.kind == CHECKPOINT || first.is_none() {
                first = Some(event.id);
            }
        }
        self.hold.keep_from(first);
        Ok(roster)
    }
}

/// Applies what an event says.
fn restore(roster: &mut Roster, event: &Event) -> Result<(), FactError> {
    if event.kind == CHECKPOINT {
        roster.restore(CheckpointPart::Head(event.payload_as()?));
    } else if event.kind == CHECKPOINT_SERVICE {
        roster.restore(CheckpointPart::Service(event.payload_as()?));
    } else if event.kind == CHECKPOINT_FORMER {
        roster.restore(CheckpointPart::Former(event.payload_as()?));
    } else if let Some(fact) = RosterFact::of(event.kind.as_str(), &event.payload)? {
        roster.apply(&fact);
    }
    Ok(())
}

fn event(fact: &RosterFact) -> Result<NewEvent, EventStoreError> {
    // A fact is JSON: no part of it is refused.
    let payload = fact.to_payload().unwrap_or_default();
    Ok(NewEvent::new(fact.event_kind())?.source(SOURCE).payload(payload)?)
}

fn checkpoint_event(part: &CheckpointPart) -> Result<NewEvent, EventStoreError> {
    Ok(match part {
        CheckpointPart::Head(head) => NewEvent::of(CHECKPOINT).source(SOURCE).payload(head)?,
        CheckpointPart::Service(service) => NewEvent::of(CHECKPOINT_SERVICE).source(SOURCE).payload(service)?,
        CheckpointPart::Former(former) => NewEvent::of(CHECKPOINT_FORMER).source(SOURCE).payload(former)?,
        CheckpointPart::Batch(fact) => event(fact)?,
    })
}

/// All facts, oldest first.
fn all() -> Result<Query, EventStoreError> {
    let kinds = RosterFact::EVENT_KINDS.into_iter().map(str::parse::<EventKind>);
    let checkpoints = [CHECKPOINT, CHECKPOINT_SERVICE, CHECKPOINT_FORMER].map(Ok);
    let kinds = kinds.chain(checkpoints).collect::<Result<Vec<_>, _>>()?;
    Ok(Query::new().kinds(kinds).source(SOURCE).limit(usize::MAX))
}
