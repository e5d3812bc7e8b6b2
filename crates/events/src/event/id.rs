use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// The position of an event in its store.
///
/// Ids start at 1, increase by one with each event, and have no gaps; pruning never frees an id for
/// reuse. Two stores number their events independently, so an id says nothing outside its own store.
///
/// ```
/// use foundation_events::EventId;
///
/// assert_eq!(EventId::new(7).map(EventId::get), Some(7));
/// assert_eq!(EventId::new(0), None);
/// assert!(EventId::FIRST < EventId::new(2).unwrap());
/// assert_eq!("7".parse(), Ok(EventId::new(7).unwrap()));
/// assert!("0".parse::<EventId>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(NonZeroU64);

impl EventId {
    /// The id of the first event of every store: 1.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// The id with this number, or `None` for 0, which no event has.
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The id as a number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The id of the event that is recorded after `recorded` others.
    ///
    /// A store reaches the end of the numbers after 584 years of a billion events a second.
    pub(crate) fn after(recorded: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(recorded))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
