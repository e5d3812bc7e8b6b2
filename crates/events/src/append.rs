use std::sync::Arc;

use super::error::EventError;
use super::event::Event;
use super::id::EventId;
use super::limits::EventLimits;
use super::new_event::NewEvent;
use super::refusal::EventRefusal;

/// A batch of events to record, all of it or nothing.
///
/// ```
/// use foundation_events::{Append, EventId, ExpectedPosition, NewEvent};
///
/// let batch = vec![NewEvent::new("order_paid")?];
/// let append = Append::new(batch).expecting(ExpectedPosition::Exactly(Some(EventId::FIRST)));
/// # Ok::<(), foundation_events::EventError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// The events, in their order.
    pub batch: Vec<NewEvent>,
    /// The position that the log must have.
    pub expected: ExpectedPosition,
}

/// The position that a log must have to take an append: the state on which its writer has decided.
///
/// ```
/// assert_eq!(foundation_events::ExpectedPosition::default(), foundation_events::ExpectedPosition::Any);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExpectedPosition {
    /// Any position.
    #[default]
    Any,
    /// At exactly this position: the highest id that was ever given; `None` if nothing was ever recorded.
    Exactly(Option<EventId>),
}

/// The outcome of an append.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct Appended {
    /// The ids of the events, in the order of the batch; for a known key, the id of the first event with it.
    pub ids: Vec<EventId>,
    /// The position of the log after the append.
    pub position: Option<EventId>,
    /// The events that are new, in ascending order.
    pub events: Vec<Arc<Event>>,
}

impl Append {
    /// An append of these events, wherever the log is.
    pub fn new(batch: Vec<NewEvent>) -> Self {
        Self { batch, expected: ExpectedPosition::Any }
    }

    /// The same, if the log is at this position.
    pub fn expecting(mut self, expected: ExpectedPosition) -> Self {
        self.expected = expected;
        self
    }

    /// The whole decision on whether a log at this position takes the append; returns the events with the bytes of
    /// their payloads as JSON. For implementors of [`EventLog`](crate::EventLog); costs one walk through each payload.
    ///
    /// ```
    /// use foundation_events::{Append, EventLimits, NewEvent};
    ///
    /// let append = Append::new(vec![NewEvent::new("opened")?.payload("door")?]);
    /// let taken = append.admit(&EventLimits::default(), None)?;
    /// assert_eq!(taken.map(|(_, bytes)| bytes).collect::<Vec<_>>(), [6]);
    /// # Ok::<(), foundation_events::EventError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`EventError::Conflict`] if the log is at another position, [`EventError::Refused`] if an event is outside the
    /// limits or names a cause that is not recorded yet; each with the batch.
    pub fn admit(
        self,
        limits: &EventLimits,
        position: Option<EventId>,
    ) -> Result<impl ExactSizeIterator<Item = (NewEvent, usize)> + use<>, EventError> {
        let Self { batch, expected } = self;
        if let ExpectedPosition::Exactly(expected) = expected
            && expected != position
        {
            return Err(EventError::Conflict { expected, actual: position, batch });
        }
        match limits.check(&batch).and_then(|sizes| causes_are_recorded(&batch, position).map(|()| sizes)) {
            Ok(sizes) => Ok(batch.into_iter().zip(sizes)),
            Err(refusal) => Err(EventError::Refused { refusal, batch }),
        }
    }
}

impl Appended {
    /// The outcome of an append.
    pub fn new(ids: Vec<EventId>, position: Option<EventId>, events: Vec<Arc<Event>>) -> Self {
        Self { ids, position, events }
    }
}

/// No effect comes before its cause: so following causes always ends.
fn causes_are_recorded(batch: &[NewEvent], position: Option<EventId>) -> Result<(), EventRefusal> {
    let forged = (0..).zip(batch).find_map(|(index, event)| {
        let cause = event.causation_id().filter(|cause| Some(*cause) > position)?;
        Some(EventRefusal::UnknownCause { index, kind: event.kind().clone(), cause })
    });
    forged.map_or(Ok(()), Err)
}
