//! Watching instances.

use std::collections::VecDeque;
use std::fmt;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use foundation_kernel::containment::waking_contained;
use foundation_kernel::names::{Watch, Watched};
use foundation_kernel::ractor::ActorId;
use futures::stream::{BoxStream, unfold};
use futures::{Stream, StreamExt};
use tokio::sync::watch;
use tokio::time::Instant;

use super::alarm::{TICK, wait_until};
use super::state::Shared;
use crate::catalog::{Catalog, InstanceChange, RemovalCause};
use crate::criteria::Criteria;
use crate::health::InstanceHealth;
use crate::instance::{InstanceName, InstanceRecord};

/// An item of an [`InstanceWatch`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstanceWatched {
    /// The instances that are there and meet the criteria, sorted by service and id; the first item.
    Snapshot(Vec<InstanceRecord>),
    /// The reader was too slow: so many changes of names or more were dropped, and these are the instances now. The changes go
    /// on from here; what the reader had is obsolete.
    Lagged {
        /// How many changes of names were dropped, of instances and others.
        missed: u64,
        /// As in [`Snapshot`](Self::Snapshot).
        snapshot: Vec<InstanceRecord>,
    },
    /// Something has changed since.
    Change(InstanceChange),
}

/// The instances that meet some criteria, and then each change of them.
///
/// The changes go on from the snapshot with neither gap nor duplicate. An instance that begins to meet the criteria is added,
/// one that no longer does is removed. A slow reader does not slow the registry: of its unread changes
/// [a limited number](crate::DiscoveryOptions::unread_changes) is kept, and beyond that it gets all instances again, as
/// [`Lagged`](InstanceWatched::Lagged). Changes of statuses are not kept: a slow reader gets the latest of each instance.
/// It ends when the namespace does.
///
/// A watch costs a catalog of its own.
#[must_use = "a watch that is dropped sees nothing"]
pub struct InstanceWatch {
    criteria: Criteria,
    items: BoxStream<'static, InstanceWatched>,
}

impl InstanceWatch {
    pub(super) fn new(shared: Arc<Shared>, criteria: Criteria) -> Self {
        // In a box: it is moved for each item.
        let follower = Box::new(Follower::new(shared, criteria.clone()));
        let next = |mut follower: Box<Follower>| async { Some((follower.next().await?, follower)) };
        Self { criteria, items: unfold(follower, next).boxed() }
    }

    /// The next item; `None` when the namespace has ended. This method is cancel safe.
    pub async fn next(&mut self) -> Option<InstanceWatched> {
        self.items.next().await
    }
}

impl Stream for InstanceWatch {
    type Item = InstanceWatched;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<InstanceWatched>> {
        self.items.poll_next_unpin(context)
    }
}

impl fmt::Debug for InstanceWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceWatch").field("criteria", &self.criteria).finish_non_exhaustive()
    }
}

/// The state of one watch: follows the names and the healths.
struct Follower {
    shared: Arc<Shared>,
    criteria: Criteria,
    names: Watch,
    healths: watch::Receiver<()>,
    catalog: Catalog,
    /// How many changes of statuses it has read.
    statuses_read: u64,
    unseen: VecDeque<InstanceWatched>,
}

/// What a watch has been woken by.
enum Woken {
    Names(Option<Watched>),
    Healths,
    Expiry,
}

impl Follower {
    fn new(shared: Arc<Shared>, criteria: Criteria) -> Self {
        // Subscribe before reading: a change between the two is noticed.
        let (names, healths) = (shared.watch_names_with_reasons(), shared.healths());
        let (catalog, unseen) = (Catalog::new(), VecDeque::new());
        Self { shared, criteria, names, healths, catalog, statuses_read: 0, unseen }
    }

    async fn next(&mut self) -> Option<InstanceWatched> {
        while self.unseen.is_empty() {
            match self.woken().await {
                Woken::Names(watched) => self.apply(watched?),
                Woken::Healths => self.read_changed_healths(),
                Woken::Expiry => {
                    self.shared.refresh(Instant::now());
                    self.read_changed_healths();
                }
            }
        }
        self.unseen.pop_front()
    }

    fn apply(&mut self, watched: Watched) {
        let missed = match &watched {
            Watched::Snapshot(_) => None,
            Watched::Lagged { missed, .. } => Some(*missed),
            _ => return self.catalog.apply(watched).into_iter().for_each(|change| self.show_with_health(change)),
        };
        self.catalog.apply(watched);
        let all = self.shared.all_healths(Instant::now());
        self.read_healths(all);
        let snapshot = self.catalog.fitting(&self.criteria).into_iter().cloned().collect();
        // The changes of healths until then are in it.
        self.unseen = VecDeque::from([match missed {
            None => InstanceWatched::Snapshot(snapshot),
            Some(missed) => InstanceWatched::Lagged { missed, snapshot },
        }]);
    }

    /// Waits for a change of a name or of a health, or for the time at which a result is too old.
    async fn woken(&mut self) -> Woken {
        let expiry = self.shared.next_expiry();
        let expired = async {
            match expiry {
                Some(expiry) => wait_until(expiry + TICK).await,
                None => pending().await,
            }
        };
        // A waker may be any code, and those who wake are others.
        waking_contained(async {
            // Not biased: while names change all the time, statuses are read and results expire.
            tokio::select! {
                watched = self.names.next() => Woken::Names(watched),
                changed = self.healths.changed() => match changed {
                    Ok(()) => Woken::Healths,
                    // The sender is the shared state's, which this watch holds.
                    Err(_) => Woken::Names(None),
                },
                () = expired => Woken::Expiry,
            }
        })
        .await
    }

    /// Shows a change, and the health of an instance that has been checked before this watch saw it.
    fn show_with_health(&mut self, change: InstanceChange) {
        let added = change.instance().cloned();
        self.show(change);
        if let Some(record) = added {
            let health = self.shared.health(&record, Instant::now());
            let change = self.catalog.set_health(record.name(), record.actor, health);
            change.into_iter().for_each(|change| self.show(change));
        }
    }

    fn read_changed_healths(&mut self) {
        let changed = self.shared.healths_since(self.statuses_read, Instant::now());
        self.read_healths(changed);
    }

    fn read_healths(&mut self, (number, healths): (u64, Vec<(InstanceName, ActorId, InstanceHealth)>)) {
        self.statuses_read = number;
        for (name, actor, health) in healths {
            let change = self.catalog.set_health(&name, actor, health);
            change.into_iter().for_each(|change| self.show(change));
        }
    }

    fn show(&mut self, change: InstanceChange) {
        self.unseen.extend(seen_by(&self.criteria, change).map(InstanceWatched::Change));
    }
}

/// How a change looks to a reader of the instances that meet these criteria: one that begins to meet them is added, one that
/// no longer does is removed. `None` if the reader sees nothing of it.
fn seen_by(criteria: &Criteria, change: InstanceChange) -> Option<InstanceChange> {
    let accepts = |record: &InstanceRecord| criteria.accepts(&record.instance, record.status());
    let (before, after) = match &change {
        InstanceChange::Added(instance) => return accepts(instance).then_some(change),
        InstanceChange::Removed { instance, .. } => return accepts(instance).then_some(change),
        InstanceChange::Updated { before, after } => (before.clone(), after.clone()),
        InstanceChange::StatusChanged { from, instance } => {
            (instance.clone().with_health(from.clone()), instance.clone())
        }
    };
    match (accepts(&before), accepts(&after)) {
        (true, true) => Some(change),
        (true, false) => Some(InstanceChange::Removed { instance: before, cause: RemovalCause::NoLongerMatches }),
        (false, true) => Some(InstanceChange::Added(after)),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::instance::Instance;
    use crate::samples::statuses;

    /// One instance at one time, if it is there.
    fn states() -> impl Strategy<Value = Option<InstanceRecord>> {
        option::weighted(
            0.8,
            (any::<bool>(), statuses()).prop_map(|(can, status)| {
                let builder = Instance::builder("orders", "a");
                let instance = if can { builder.capability("refund") } else { builder }.build().unwrap();
                InstanceRecord::new(instance, ActorId::Local(1)).with_health(InstanceHealth::new(status))
            }),
        )
    }

    fn change(before: Option<InstanceRecord>, after: Option<InstanceRecord>) -> Option<InstanceChange> {
        match (before, after) {
            (None, None) => None,
            (None, Some(after)) => Some(InstanceChange::Added(after)),
            (Some(instance), None) => Some(InstanceChange::Removed { instance, cause: RemovalCause::Withdrawn }),
            (Some(before), Some(after)) if before.instance == after.instance => {
                Some(InstanceChange::StatusChanged { from: before.health, instance: after })
            }
            (Some(before), Some(after)) => Some(InstanceChange::Updated { before, after }),
        }
    }

    proptest! {
        #[test]
        fn a_reader_of_some_instances_has_at_each_time_those_that_fit(states in vec(states(), 1..20)) {
            let criteria = Criteria::any().capability("refund").unwrap().healthy_only();
            let fits = |record: &InstanceRecord| criteria.accepts(&record.instance, record.status());
            let (mut before, mut reader) = (None::<InstanceRecord>, None::<InstanceRecord>);
            for after in states {
                let change = change(before.take(), after.clone());
                if let Some(seen) = change.and_then(|change| seen_by(&criteria, change)) {
                    prop_assert_eq!(seen.status_before(), reader.as_ref().map(InstanceRecord::status));
                    reader = seen.instance().cloned();
                }
                prop_assert_eq!(&reader, &after.clone().filter(fits));
                before = after;
            }
        }
    }
}
