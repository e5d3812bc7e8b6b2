use std::time::Duration;

use crate::{EventLimits, EventStoreLimits};

/// What an acknowledged append survives.
///
/// ```
/// assert_eq!(foundation_events::Durability::default(), foundation_events::Durability::Full);
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// The crash of the process, of the system and a power cut: the disk has confirmed each commit
    /// (`synchronous=FULL`).
    #[default]
    Full,
    /// The crash of the process only; after a power cut the latest acknowledged events may be missing, always from the
    /// end (`synchronous=NORMAL`). A commit costs a write into the system's cache instead of a wait for the disk.
    Relaxed,
}

/// How a [`SqliteLog`](crate::SqliteLog) keeps its events.
///
/// ```
/// use foundation_events::{Durability, EventLimits, SqliteOptions};
///
/// let options = SqliteOptions::default()
///     .durability(Durability::Relaxed)
///     .limits(EventLimits::new().max_batch(100));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SqliteOptions {
    pub(super) durability: Durability,
    pub(super) limits: EventLimits,
    /// `None` for the limit of the store, or its default.
    locked_file: Option<Duration>,
}

impl SqliteOptions {
    /// Sets the durability; [`Durability::Full`] by default.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How long a request waits for another program that has locked the file, at most 24 days, which is the longest that
    /// SQLite waits; by default as long as [`EventStoreLimits::locked_file`] says.
    ///
    /// Nothing ends this wait earlier: all appends wait with it, and so do an opening of the log and the end of the store.
    pub fn locked_file(mut self, limit: Duration) -> Self {
        self.locked_file = Some(limit);
        self
    }

    /// Fills in the limits of the store where none were set.
    pub(super) fn within(mut self, limits: &EventStoreLimits) -> Self {
        self.locked_file.get_or_insert(limits.locked_file);
        self
    }

    pub(super) fn patience(&self) -> Duration {
        self.locked_file.unwrap_or_else(|| EventStoreLimits::default().locked_file)
    }

    /// Sets the limits of events.
    pub fn limits(mut self, limits: EventLimits) -> Self {
        self.limits = limits;
        self
    }
}
