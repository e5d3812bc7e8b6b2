//! The configuration of one namespace, as its readers and subscribers see it. It belongs to the namespace, so that they
//! outlive the actor.
//!
//! 1. A subscriber receives each change that is applied after it subscribed, once, and when the tree has it.
//! 2. Only the server writes, and there is one server at a time.
//! 3. No destructor of a section runs under a lock: neither under one of ours nor under one of the channel.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arc_swap::{ArcSwap, Guard};
use foundation_events::EventId;
use foundation_kernel::containment::waking_contained;
use foundation_kernel::names::ServiceRegistry;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use parking_lot::Mutex;
use tokio::sync::broadcast::{Receiver, Sender, error::RecvError};

use super::commit::{ConfigChanged, ConfigCommit};
use super::note::ChangeNote;
use crate::values::{ConfigError, ConfigPath, ConfigSection, ConfigTree, Snapshot, typed};

/// How many commits a subscriber may be behind.
const BACKLOG: usize = 1_024;

pub(super) struct Current {
    tree: Arc<ArcSwap<ConfigTree>>,
    /// Made for the first subscriber: its backlog is allocated as a whole, and most namespaces have none.
    changes: Mutex<Option<Sender<Arc<Applied>>>>,
    unused: Arc<UnusedSections>,
}

/// A commit that has been applied, with the declared sections before and after it.
struct Applied {
    commit: ConfigCommit,
    before: Arc<[Snapshot]>,
    after: Arc<[Snapshot]>,
    unused: Arc<UnusedSections>,
}

/// The channel drops a commit under its own lock: so its sections are put aside here.
impl Drop for Applied {
    fn drop(&mut self) {
        self.unused.0.lock().extend([Arc::clone(&self.before), Arc::clone(&self.after)]);
    }
}

/// The sections of commits that are gone, until they are dropped without a lock (invariant 3).
#[derive(Default)]
struct UnusedSections(Mutex<Vec<Arc<[Snapshot]>>>);

impl UnusedSections {
    fn clear(&self) {
        let unused = mem::take(&mut *self.0.lock());
        drop(unused);
    }
}

impl From<Arc<ConfigTree>> for Current {
    fn from(loaded: Arc<ConfigTree>) -> Self {
        Self { tree: Arc::new(ArcSwap::new(loaded)), changes: Mutex::default(), unused: Arc::default() }
    }
}

impl Current {
    /// The tree for a brief read, without a count of its `Arc`.
    pub(super) fn load(&self) -> Guard<Arc<ConfigTree>> {
        self.tree.load()
    }

    /// The location of the tree, for frequent readers.
    pub(super) fn tree_cell(&self) -> Arc<ArcSwap<ConfigTree>> {
        Arc::clone(&self.tree)
    }

    /// Replaces the tree with an equal one: only positions in files may differ.
    pub(super) fn replace(&self, same: ConfigTree) {
        self.tree.store(Arc::new(same));
    }

    /// Applies a change.
    pub(super) fn apply(&self, next: ConfigTree, commit: &ConfigCommit) {
        let next = Arc::new(next);
        let before = self.tree.swap(Arc::clone(&next));
        // Not under the lock: a subscriber that is woken may subscribe again.
        let Some(changes) = self.changes.lock().clone() else { return };
        let (before, after) = (Arc::clone(before.snapshots()), Arc::clone(next.snapshots()));
        let (commit, unused) = (commit.clone(), Arc::clone(&self.unused));
        // It is no error if all subscribers have gone.
        let _ = changes.send(Arc::new(Applied { commit, before, after, unused }));
        self.unused.clear();
    }

    /// How many subscriptions there are.
    pub(super) fn subscribers(&self) -> usize {
        self.changes.lock().as_ref().map_or(0, Sender::receiver_count)
    }

    /// A subscription to the changes of a value or a section.
    pub(super) fn subscribe(
        &self,
        section: &str,
        registry: &ServiceRegistry,
    ) -> Result<ConfigSubscription, ConfigError> {
        let section = ConfigPath::new(section)?;
        // Subscribe before checking the path: a change in between is received.
        let feed = self.feed(registry);
        self.load().get(&section)?;
        Ok(ConfigSubscription { section, feed, pending: VecDeque::new() })
    }

    /// A subscription to the changes of a declared section.
    pub(super) fn subscribe_section<T: ConfigSection>(
        &self,
        registry: &ServiceRegistry,
    ) -> Result<SectionSubscription<T>, ConfigError> {
        let feed = self.feed(registry);
        let index = self.load().section_index::<T>()?;
        Ok(SectionSubscription { section: ConfigPath::new(T::PATH)?, index, feed, as_type: PhantomData })
    }

    fn feed(&self, registry: &ServiceRegistry) -> Feed {
        let changes = self.changes.lock().get_or_insert_with(|| Sender::new(BACKLOG)).subscribe();
        let commits = stream::unfold((changes, registry.clone()), |(mut changes, registry)| async move {
            let applied = next(&mut changes, &registry).await?;
            Some((applied, (changes, registry)))
        });
        Feed { commits: Some(commits.fuse().boxed()), unused: Arc::clone(&self.unused) }
    }
}

/// The commits from now on, in order; it outlives the config server's restarts.
struct Feed {
    /// `None` once it is being dropped.
    commits: Option<BoxStream<'static, Result<Arc<Applied>, LaggedError>>>,
    unused: Arc<UnusedSections>,
}

impl Feed {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Arc<Applied>, LaggedError>>> {
        // Those of the commit before, if this subscriber was the last one to read it.
        self.unused.clear();
        self.commits.as_mut().map_or(Poll::Ready(None), |commits| commits.poll_next_unpin(context))
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.commits = None;
        self.unused.clear();
    }
}

/// The next commit; `None` after the last one, when the namespace has ended, for whatever reason.
async fn next(
    changes: &mut Receiver<Arc<Applied>>,
    registry: &ServiceRegistry,
) -> Option<Result<Arc<Applied>, LaggedError>> {
    let applied = tokio::select! {
        biased;
        applied = waking_contained(changes.recv()) => applied,
        () = registry.ended() => return None,
    };
    match applied {
        Ok(applied) => Some(Ok(applied)),
        Err(RecvError::Lagged(missed)) => Some(Err(LaggedError { missed })),
        Err(RecvError::Closed) => None,
    }
}

/// Changes that a subscriber missed because it was too slow. It continues with the oldest that are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{missed} configuration changes were missed: the subscriber was too slow")]
#[non_exhaustive]
pub struct LaggedError {
    /// How many; changes that were applied together count as one.
    pub missed: u64,
}

/// The changes of one value or section from now on, in order, each as soon as the tree has it.
///
/// [`next`](Self::next) returns one after the other, and so does the [`Stream`], whose items are results. It outlives the
/// config server's restarts and ends with the namespace.
#[must_use = "a subscription that is dropped shows nothing"]
pub struct ConfigSubscription {
    section: ConfigPath,
    feed: Feed,
    /// The changes of the last commit that were not returned yet.
    pending: VecDeque<ConfigChanged>,
}

impl ConfigSubscription {
    /// Waits for the next change; `None` when the namespace has ended. Nothing is lost if it is cancelled.
    ///
    /// # Errors
    /// [`LaggedError`] if this subscriber was more than 1,024 changes behind; the next call goes on after the gap.
    pub async fn next(&mut self) -> Result<Option<ConfigChanged>, LaggedError> {
        poll_fn(|context| self.poll(context)).await.transpose()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<ConfigChanged, LaggedError>>> {
        loop {
            if let Some(changed) = self.pending.pop_front() {
                return Poll::Ready(Some(Ok(changed)));
            }
            let Some(applied) = ready!(self.feed.poll(context)).transpose()? else {
                return Poll::Ready(None);
            };
            self.pending
                .extend(applied.commit.changed().filter(|changed| changed.change.path.is_within(&self.section)));
        }
    }
}

impl Stream for ConfigSubscription {
    type Item = Result<ConfigChanged, LaggedError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

impl fmt::Debug for ConfigSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfigSubscription({})", self.section)
    }
}

/// The changes of a declared section from now on, in order, each as soon as the tree has it.
///
/// [`next`](Self::next) returns one after the other, and so does the [`Stream`], whose items are results. It outlives the
/// config server's restarts and ends with the namespace.
#[must_use = "a subscription that is dropped shows nothing"]
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
    /// Waits for the next change; `None` when the namespace has ended. Nothing is lost if it is cancelled.
    ///
    /// # Errors
    /// [`LaggedError`] if this subscriber was more than 1,024 changes behind; the next call goes on after the gap.
    pub async fn next(&mut self) -> Result<Option<SectionChanged<T>>, LaggedError> {
        poll_fn(|context| self.poll(context)).await.transpose()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<SectionChanged<T>, LaggedError>>> {
        while let Some(applied) = ready!(self.feed.poll(context)).transpose()? {
            if let Some(changed) = self.changed(&applied) {
                return Poll::Ready(Some(Ok(changed)));
            }
        }
        Poll::Ready(None)
    }

    fn changed(&self, applied: &Applied) -> Option<SectionChanged<T>> {
        let commit = &applied.commit;
        commit.changes.iter().find(|change| change.path.is_within(&self.section))?;
        let (old, new) = (applied.before.get(self.index)?, applied.after.get(self.index)?);
        Some(SectionChanged {
            old: Arc::clone(typed(old)?),
            new: Arc::clone(typed(new)?),
            generation: commit.generation,
            event: commit.event,
            note: commit.note.clone(),
        })
    }
}

impl<T: ConfigSection> Stream for SectionSubscription<T> {
    type Item = Result<SectionChanged<T>, LaggedError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

impl<T> fmt::Debug for SectionSubscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SectionSubscription({})", self.section)
    }
}
