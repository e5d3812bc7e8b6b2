//! The expected contents of the store, kept by the parent, and the comparison.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use foundation::events::{Event, EventId, EventStorage, Query};
use foundation::{EventStore, Foundation};

use super::child::{KEPT, TASKS, once};
use super::mark::{Acknowledged, Mark};

/// The acknowledged events of all lives of the child, and the highest id.
#[derive(Default)]
pub(crate) struct Ledger {
    acknowledged: HashMap<Mark, EventId>,
    /// The last acknowledged append of each task of the latest life.
    last: BTreeMap<u32, Mark>,
    highest: u64,
    /// The oldest event that is held.
    oldest: u64,
    /// The parent has pruned up to here.
    pruned: u64,
}

impl Ledger {
    pub(crate) fn enter(&mut self, answers: Vec<Acknowledged>) {
        self.last.clear();
        for Acknowledged { first, ids } in answers {
            self.last.insert(first.task, first);
            self.note(first, &ids);
        }
    }

    /// The number of acknowledged events.
    pub(crate) fn len(&self) -> usize {
        self.acknowledged.len()
    }

    /// The highest id so far.
    pub(crate) fn highest(&self) -> u64 {
        self.highest
    }

    fn note(&mut self, first: Mark, ids: &[EventId]) {
        assert_eq!(first.all().count(), ids.len());
        assert!(ids.windows(2).all(|pair| pair[0].get() + 1 == pair[1].get()), "a batch has one id after the other");
        for (mark, id) in first.all().zip(ids) {
            let other = self.acknowledged.insert(mark, *id);
            assert!(other.is_none_or(|other| other == *id), "{mark:?} was acknowledged as {other:?} and as {id}");
            self.highest = self.highest.max(id.get());
        }
    }

    /// Opens the store and checks that all events are there and none twice.
    pub(crate) async fn compare(&mut self, directory: &Path) {
        let foundation = open(directory).await;
        let store = foundation.events();
        self.check(store).await;
        self.insist(store).await;
        self.check(store).await;
        foundation.shutdown().await;
    }

    async fn check(&mut self, store: &EventStore) {
        let verification = store.verify(|_| ()).await.unwrap();
        assert!(verification.is_clean(), "{verification}");

        let stats = store.stats().await.unwrap();
        assert!(stats.recorded >= self.highest, "ids have gone back from {} to {stats:?}", self.highest);
        self.highest = stats.recorded;
        assert!(stats.held >= KEPT.min(stats.recorded - self.pruned), "more was pruned than should be: {stats:?}");

        let events = store.query(Query::new()).await.unwrap();
        self.oldest = stats.recorded + 1 - stats.held;
        assert!(events.iter().map(|event| event.id.get()).eq(self.oldest..=stats.recorded), "ids have gaps: {stats:?}");
        assert!(events.windows(2).all(|pair| pair[0].recorded_at <= pair[1].recorded_at), "time has gone back");
        self.check_marks(&events);
    }

    fn check_marks(&self, events: &[Arc<Event>]) {
        let mut held = HashMap::new();
        for event in events {
            let Some(mark) = Mark::on(event) else { continue };
            assert_eq!(held.insert(mark, event.id), None, "{event:?} is there twice");
        }
        for (mark, id) in self.acknowledged.iter().filter(|(_, id)| id.get() >= self.oldest) {
            assert_eq!(held.get(mark), Some(id), "{mark:?} was acknowledged as {id} and is lost");
        }
        // A batch is there as a whole, unless pruning has cut it, which it does from the front.
        for mark in held.keys() {
            assert!(
                mark.all().skip(mark.place as usize).all(|mark| held.contains_key(&mark)),
                "{mark:?} is half of it"
            );
        }
    }

    /// Acts as a client without an answer to its last append: an append with a key is repeated.
    async fn insist(&mut self, store: &EventStore) {
        for mark in std::mem::take(&mut self.last).into_values() {
            // The last acknowledged one is already recorded; the one after it may be.
            for first in [mark, Mark { append: mark.append + 1, ..mark }] {
                if first.has_key() && !self.is_pruned(first) {
                    let ids = once(store, first).await.unwrap();
                    self.note(first, &ids);
                }
            }
        }
    }

    /// Its key is removed with it.
    fn is_pruned(&self, mark: Mark) -> bool {
        self.acknowledged.get(&mark).is_some_and(|id| id.get() < self.oldest)
    }

    /// Prunes everything, and checks that the ids continue after it.
    pub(crate) async fn prune(&mut self, directory: &Path, life: u32) {
        let foundation = open(directory).await;
        let store = foundation.events();
        store.prune_before(SystemTime::now() + Duration::from_secs(3600)).await.unwrap();
        let stats = store.stats().await.unwrap();
        assert_eq!((stats.recorded, stats.held), (self.highest, 0));
        foundation.shutdown().await;
        self.pruned = self.highest;

        let foundation = open(directory).await;
        assert_eq!(foundation.events().position().map(EventId::get), Some(self.highest));
        let first = Mark::of(life, TASKS, 0);
        let ids = once(foundation.events(), first).await.unwrap();
        assert_eq!(ids[0].get(), self.highest + 1);
        self.note(first, &ids);
        foundation.shutdown().await;
    }
}

/// The store without a retention, so that it is compared as it was left.
async fn open(directory: &Path) -> Foundation {
    Foundation::builder().events(EventStorage::sqlite(directory)).start().await.unwrap()
}
