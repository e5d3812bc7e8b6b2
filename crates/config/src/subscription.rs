//! Subscriptions to changes.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use foundation_kernel::ServiceRegistry;
use foundation_kernel::containment::waking_contained;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::commit::ConfigChanged;
use super::current::Made;
use super::note::ChangeNote;
use super::path::ConfigPath;
use super::section::{ConfigSection, typed};
use foundation_events::EventId;

/// Changes that a subscriber missed because it was too slow. It continues with the oldest that are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{missed} configuration changes were missed: the subscriber was too slow")]
pub struct Lagged {
    /// How many; changes that were made together count as one.
    pub missed: u64,
}

/// The commits from now on, in order; it outlives the config server's restarts.
#[derive(Debug)]
pub(super) struct Feed {
    changes: Receiver<Arc<Made>>,
    registry: ServiceRegistry,
}

impl Feed {
    pub(super) fn new(changes: Receiver<Arc<Made>>, registry: &ServiceRegistry) -> Self {
        Self { changes, registry: registry.clone() }
    }

    /// The next commit; `None` after the last one, when the namespace has ended, for whatever reason.
    async fn next(&mut self) -> Result<Option<Arc<Made>>, Lagged> {
        let made = tokio::select! {
            biased;
            made = waking_contained(self.changes.recv()) => made,
            () = self.registry.ended() => return Ok(None),
        };
        match made {
            Ok(made) => Ok(Some(made)),
            Err(RecvError::Lagged(missed)) => Err(Lagged { missed }),
            Err(RecvError::Closed) => Ok(None),
        }
    }
}

/// The changes of one value or section from now on, in order; it outlives the config server's restarts.
#[derive(Debug)]
pub struct ConfigSubscription {
    section: ConfigPath,
    feed: Feed,
    /// The changes of the last commit that were not returned yet.
    pending: VecDeque<ConfigChanged>,
}

impl ConfigSubscription {
    pub(super) fn new(section: ConfigPath, feed: Feed) -> Self {
        Self { section, feed, pending: VecDeque::new() }
    }

    /// Waits for the next change; `None` when the namespace has been shut down. Nothing is lost if the future is
    /// dropped.
    ///
    /// # Errors
    /// [`Lagged`] if this subscriber was more than 1,024 changes behind; the next call goes on after the gap.
    pub async fn next(&mut self) -> Result<Option<ConfigChanged>, Lagged> {
        loop {
            if let Some(changed) = self.pending.pop_front() {
                return Ok(Some(changed));
            }
            let Some(made) = self.feed.next().await? else {
                return Ok(None);
            };
            self.pending.extend(made.commit.changed().filter(|changed| changed.change.path.is_within(&self.section)));
        }
    }
}

/// The changes of a declared section from now on, in order; it outlives the config server's restarts.
pub struct SectionSubscription<T> {
    section: ConfigPath,
    index: usize,
    feed: Feed,
    as_type: PhantomData<fn() -> T>,
}

/// One change of a declared section, however many values it changes.
#[derive(Debug)]
#[non_exhaustive]
pub struct SectionChanged<T> {
    /// The section before.
    pub old: Arc<T>,
    /// The section after.
    pub new: Arc<T>,
    /// The generation of the configuration that it led to.
    pub generation: u64,
    /// The event that records it; `None` if it could not be recorded and need not be.
    pub event: Option<EventId>,
    /// Who changed it, and why.
    pub note: ChangeNote,
}

impl<T: ConfigSection> SectionSubscription<T> {
    pub(super) fn new(section: ConfigPath, index: usize, feed: Feed) -> Self {
        Self { section, index, feed, as_type: PhantomData }
    }

    /// Waits for the next change; `None` when the namespace has been shut down. Nothing is lost if the future is
    /// dropped.
    ///
    /// # Errors
    /// [`Lagged`] if this subscriber was more than 1,024 changes behind; the next call goes on after the gap.
    pub async fn next(&mut self) -> Result<Option<SectionChanged<T>>, Lagged> {
        while let Some(made) = self.feed.next().await? {
            if let Some(changed) = self.changed(&made) {
                return Ok(Some(changed));
            }
        }
        Ok(None)
    }

    fn changed(&self, made: &Made) -> Option<SectionChanged<T>> {
        let commit = &made.commit;
        commit.changes.iter().find(|change| change.path.is_within(&self.section))?;
        let (old, new) = (made.before.get(self.index)?, made.after.get(self.index)?);
        Some(SectionChanged {
            old: Arc::clone(typed(old)?),
            new: Arc::clone(typed(new)?),
            generation: commit.generation,
            event: commit.event,
            note: commit.note.clone(),
        })
    }
}

impl<T> fmt::Debug for SectionSubscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SectionSubscription({})", self.section)
    }
}
