//! Reading, checking and pruning the events of a store.

use std::sync::Arc;
use std::time::SystemTime;

use foundation_kernel::containment::report;
use tokio::time::timeout;
use uuid::Uuid;

use super::client::EventStore;
use super::damaged::DamagedEvent;
use super::event::Event;
use super::hold::Pruned;
use super::id::EventId;
use super::log::PruneBound;
use super::on_damaged::OnDamaged;
use super::page::EventPage;
use super::query::{Order, Query};
use super::readers::ReadClass;
use super::repair::RepairReport;
use super::stats::EventStats;
use super::store_error::{EventStoreError, QueryLimit};
use super::verification::Verification;

/// The most of the newest events that are read as quickly as one.
const MAX_QUICK: usize = 1_000;
/// The most events that a repair visits between two commits.
const MAX_REPAIRED: usize = 1_000;

impl EventStore {
    /// The event with this id; `None` if it was pruned or is not recorded yet. Does not wait for appends under way.
    ///
    /// Waits for a store that is being restarted, up to [`restart`](crate::EventStoreLimits::restart), as
    /// [`append`](Self::append) does; so do [`query`](Self::query), [`page`](Self::page), [`recent`](Self::recent) and
    /// [`stats`](Self::stats).
    ///
    /// # Errors
    /// [`EventStoreError::Damaged`] if it cannot be read any more; [`EventStoreError::NotDelivered`] if the store does
    /// not run and does not come back; [`EventStoreError::Unavailable`] if it came back without its log and has no
    /// reader; [`EventStoreError::NoAnswer`].
    pub async fn get(&self, id: EventId) -> Result<Option<Arc<Event>>, EventStoreError> {
        self.patiently(|| self.read_now(ReadClass::Quick, move |log| log.get(id))).await
    }

    /// The events that the query asks for, in its order. All of them are in memory at once: give a
    /// [limit](Query::limit) where they may be many, and go on [after](Query::after) the last one.
    ///
    /// Dropping the future stops the query. A few queries run at once, and others wait for their turn; they do not
    /// delay [`get`](Self::get), [`recent`](Self::recent) or [`stats`](Self::stats).
    ///
    /// # Errors
    /// As [`get`](Self::get); [`EventStoreError::QueryLimit`] if it takes too long, or finds too much without a limit
    /// of its own.
    pub async fn query(&self, query: Query) -> Result<Vec<Arc<Event>>, EventStoreError> {
        let page = self.page(query.clone()).await?;
        page.damaged.iter().for_each(|damaged| warn_of(damaged, &query));
        Ok(page.accept(&query)?)
    }

    /// The same for a log that may be damaged: the events before the first damaged one, which is named, or, if the
    /// query [skips](crate::OnDamaged::Skip) those, all others.
    ///
    /// # Errors
    /// As [`query`](Self::query), except for damaged events.
    pub async fn page(&self, query: Query) -> Result<EventPage, EventStoreError> {
        let class = ReadClass::Long(Some(query.within.unwrap_or(self.handle.limits.query_time)));
        let most = self.handle.limits.query_events;
        let bounded = query.limit.is_some();
        // One more than allowed, so that an excess shows.
        let query = if bounded { query } else { query.limit(most.saturating_add(1)) };
        let ask = || {
            let query = query.clone();
            self.read(class, move |log| log.page(&query))
        };
        let page = self.patiently(ask).await?;
        match bounded || page.events.len() <= most {
            true => Ok(page),
            false => Err(EventStoreError::QueryLimit(QueryLimit::Events(most))),
        }
    }

    /// The events with this correlation id, oldest first.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn by_correlation(&self, id: Uuid) -> Result<Vec<Arc<Event>>, EventStoreError> {
        self.query(Query::new().correlation(id)).await
    }

    /// The newest events, newest first.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn recent(&self, count: usize) -> Result<Vec<Arc<Event>>, EventStoreError> {
        let query = Query::new().order(Order::Descending).limit(count);
        if count > MAX_QUICK {
            return self.query(query).await;
        }
        let ask = || {
            let query = query.clone();
            self.read(ReadClass::Quick, move |log| log.query(&query))
        };
        self.patiently(ask).await
    }

    /// The statistics of the store.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn stats(&self) -> Result<EventStats, EventStoreError> {
        self.patiently(|| self.stats_now()).await
    }

    /// The same for a store that runs now.
    pub(super) async fn stats_now(&self) -> Result<EventStats, EventStoreError> {
        self.read(ReadClass::Quick, |log| log.stats()).await
    }

    /// Checks every event of the log and every way to find it; `progress` is called with the number of checked events,
    /// from time to time. It has no time limit.
    ///
    /// # Errors
    /// As [`get`](Self::get), if it cannot check; what it finds is in the [`Verification`].
    pub async fn verify(
        &self,
        mut progress: impl FnMut(u64) + Send + 'static,
    ) -> Result<Verification, EventStoreError> {
        self.read(ReadClass::Long(None), move |log| log.verify(&mut progress)).await
    }

    /// Moves aside the events that cannot be read any more, and puts an event of the kind
    /// [`EVENT_LOST`](Self::EVENT_LOST) in the place of each and of each that is missing, so that ids have no gaps and
    /// readers find no damage any more. Nothing is deleted: the damaged rows are kept beside the others, and
    /// [listed](Self::moved_aside). It repairs a thousand events at a time, between which the store records; at the end
    /// the sums of the log are counted anew. Damage that `verify` still finds is in the file itself.
    ///
    /// # Errors
    /// As [`get`](Self::get); [`EventStoreError::Unavailable`] while the store cannot record. What was repaired before
    /// stays repaired.
    pub async fn repair(&self) -> Result<RepairReport, EventStoreError> {
        let (mut report, mut next) = (RepairReport::default(), Some(EventId::FIRST));
        while let Some(from) = next {
            let step = self.ask(move |log| log.repair(from, MAX_REPAIRED)).await?;
            report.add(step.moved);
            next = step.next;
        }
        Ok(report)
    }

    /// The damaged events that [`repair`](Self::repair) has moved aside, the latest ones first, at most this many.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn moved_aside(&self, at_most: usize) -> Result<Vec<DamagedEvent>, EventStoreError> {
        self.read(ReadClass::Quick, move |log| log.moved_aside(at_most)).await
    }

    /// Prunes the events that were recorded before this time, and returns how many; a chunk at a time, between which
    /// the store records. Run-time changes of the configuration are not lost with their events: if one of these is
    /// among them, the config server records the current state anew. This waits for that up to
    /// [`answer`](crate::EventStoreLimits::answer), and keeps the rest if it does not come.
    ///
    /// # Errors
    /// As [`get`](Self::get); [`EventStoreError::Unavailable`] while the store cannot record. Earlier chunks are
    /// pruned.
    pub async fn prune_before(&self, time: SystemTime) -> Result<u64, EventStoreError> {
        let bound = PruneBound::Before(time);
        let mut first = self.prune(bound).await?;
        if let Some(kept) = first.held_back {
            // Once: the newly recorded event may be before this time as well.
            self.handle.hold.notify_holder();
            if timeout(self.handle.limits.answer, self.handle.hold.moved(Some(kept))).await.is_ok() {
                first.events += self.prune(bound).await?.events;
            }
        }
        while self.ask(|log| log.maintain()).await? {}
        Ok(first.events)
    }

    /// Prunes all events that are over the bound and not held.
    async fn prune(&self, bound: PruneBound) -> Result<Pruned, EventStoreError> {
        let mut total = 0;
        loop {
            let hold = Arc::clone(&self.handle.hold);
            match self.ask(move |log| hold.prune(log, bound)).await? {
                Pruned { events: 0, held_back } => return Ok(Pruned { events: total, held_back }),
                Pruned { events, .. } => total += events,
            }
        }
    }
}

fn warn_of(damaged: &DamagedEvent, query: &Query) {
    if query.on_damaged == OnDamaged::Skip {
        report(|| tracing::warn!(%damaged, "a query skips what it cannot read"));
    }
}
