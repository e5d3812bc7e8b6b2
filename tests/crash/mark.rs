use foundation::NewEvent;
use foundation::events::{Event, EventId};
use serde::{Deserialize, Serialize};

const BATCH: u32 = 3;

/// The payload of an event: the life of the child in which it was made, its task, and its place in its append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) life: u32,
    pub(crate) task: u32,
    pub(crate) append: u32,
    pub(crate) place: u32,
}

impl Mark {
    /// The first event of an append; every other append is a batch.
    pub(crate) fn of(life: u32, task: u32, append: u32) -> Self {
        Self { life, task, append, place: 0 }
    }

    /// Whether it may be appended again without harm: two appends of four.
    pub(crate) fn has_key(self) -> bool {
        self.append % 4 >= 2
    }

    /// All marks of its append.
    pub(crate) fn all(self) -> impl Iterator<Item = Self> {
        let size = if self.append % 2 == 1 { BATCH } else { 1 };
        (0..size).map(move |place| Self { place, ..self })
    }

    /// All events of its append.
    pub(crate) fn events(self) -> Vec<NewEvent> {
        self.all().map(Self::event).collect()
    }

    fn event(self) -> NewEvent {
        let event = NewEvent::new("marked").unwrap().payload(self).unwrap().source("child");
        match self.has_key() {
            true => event.idempotency_key(serde_json::to_string(&self).unwrap()),
            false => event,
        }
    }

    /// The mark of an event, unless it is one of the foundation's own.
    pub(crate) fn on(event: &Event) -> Option<Self> {
        (event.kind.as_str() == "marked").then(|| event.payload_as().unwrap())
    }
}

/// An answered append: its first mark, and the ids of all.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Acknowledged {
    pub(crate) first: Mark,
    pub(crate) ids: Vec<EventId>,
}
