//! The interface between the event store and the storage of its events.

use std::sync::Arc;
use std::time::SystemTime;

use crate::{
    Append, Appended, DamagedEvent, Event, EventError, EventId, EventPage, EventStats, Interrupt, LogError, OnDamaged,
    Order, ParkedEvent, PruneBound, Query, RepairStep, SubscriptionName, Verification,
};

/// Where a store keeps its events: one writer, any number of [readers](EventReader).
///
/// Every log keeps these promises:
/// 1. Ids are gapless and increase from 1, and are never given twice, also after everything was pruned and after the
///    log was closed and opened again.
/// 2. `recorded_at` is never earlier than that of the event before, even if `now` goes backwards; `observed_at` is
///    `now`, both within [`recordable`](crate::recordable).
/// 3. A batch is taken whole or not at all. A refused one leaves nothing behind.
/// 4. At most one event with an idempotency key is held.
/// 5. A cause is recorded before its effect; an acknowledgement never goes back.
/// 6. What it has answered `Ok` is there when it is opened again, as far as this log keeps anything.
///
/// A log is synchronous and is given the time instead of reading a clock. It lives with the store's writer, alone.
/// Every [`LogError`] is final: the log is dropped and opened again. [`MemoryLog`](crate::MemoryLog) is an example.
///
/// ```
/// use std::time::SystemTime;
/// use foundation_events::{Append, EventLog, LogError, NewEvent};
///
/// fn two_at_once(log: &mut dyn EventLog) -> Result<usize, LogError> {
///     let append = |kind| Append::new(vec![NewEvent::new(kind).expect("a kind")]);
///     let answers = log.commit(vec![append("opened"), append("closed")], SystemTime::now())?;
///     Ok(answers.into_iter().filter(Result::is_ok).count())
/// }
/// # let mut log = foundation_events::MemoryLog::new("production");
/// # assert_eq!(two_at_once(&mut log)?, 2);
/// # Ok::<(), LogError>(())
/// ```
pub trait EventLog: Send + 'static {
    /// Decides on the appends of a group, in order, and makes all accepted ones durable with one commit. The answers
    /// are in the order of the group; each append is decided by itself ([`Append::admit`]), on what those before it
    /// left.
    ///
    /// # Errors
    ///
    /// [`LogError`]: nothing of the whole group is recorded, as far as is known.
    fn commit(&mut self, group: Vec<Append>, now: SystemTime) -> Result<Vec<Result<Appended, EventError>>, LogError>;

    /// The same for a group that is still growing: its next append is one of those requested by the time it is taken,
    /// so requests that arrive while the first ones are written can be committed with them. Each append is recorded at
    /// the time at which it is taken. By default, the group is what is there at once.
    ///
    /// # Errors
    ///
    /// [`LogError`]: none of the taken appends is recorded, as far as is known.
    fn commit_arriving(
        &mut self,
        group: &mut dyn Iterator<Item = Append>,
        clock: &dyn Fn() -> SystemTime,
    ) -> Result<Vec<Result<Appended, EventError>>, LogError> {
        let group = group.collect();
        self.commit(group, clock())
    }

    /// Prunes at most `at_most` events, the oldest first, while `bound` says that there are too many or too old ones,
    /// in one commit; none from `keep_from` on. Returns how many: 0 means that the bound is met, or that only kept
    /// events are left.
    ///
    /// # Errors
    ///
    /// [`LogError`].
    fn prune(&mut self, bound: PruneBound, keep_from: Option<EventId>, at_most: usize) -> Result<u64, LogError>;

    /// Remembers the last acknowledged event of a durable subscription, unless a later one is known.
    ///
    /// # Errors
    ///
    /// [`LogError`].
    fn acknowledge(&mut self, subscription: &SubscriptionName, up_to: EventId) -> Result<(), LogError>;

    /// Forgets a durable subscription; true if there was one.
    ///
    /// # Errors
    ///
    /// [`LogError`].
    fn forget_subscription(&mut self, subscription: &SubscriptionName) -> Result<bool, LogError>;

    /// Keeps an event that a durable subscription parks, in place of an earlier one for the same event; false if the
    /// subscription has parked `at_most` others, or if the log keeps no parked events, as by default.
    ///
    /// # Errors
    ///
    /// [`LogError`].
    fn park(&mut self, parked: &ParkedEvent, at_most: usize) -> Result<bool, LogError> {
        let _ = (parked, at_most);
        Ok(false)
    }

    /// Removes a parked event; true if there was one. Forgetting a subscription removes all its parked events.
    ///
    /// # Errors
    ///
    /// [`LogError`].
    fn unpark(&mut self, subscription: &SubscriptionName, event: EventId) -> Result<bool, LogError> {
        let _ = (subscription, event);
        Ok(false)
    }

    /// Imports exported events with their ids, in order, all or none: gapless after the existing ones, or from any id
    /// on if nothing was ever recorded.
    ///
    /// # Errors
    ///
    /// [`LogError`]; inside of it [`EventError::NotImported`].
    fn import(&mut self, events: Vec<Event>) -> Result<Result<(), EventError>, LogError>;

    /// Moves events aside that cannot be read, and puts one of the kind `event_lost` in the place of each and of each
    /// missing one. Visits at most this many events, from this one on. Events that are moved aside are kept.
    ///
    /// # Errors
    ///
    /// [`LogError`].
    fn repair(&mut self, from: EventId, at_most: usize) -> Result<RepairStep, LogError> {
        let _ = (from, at_most);
        Ok(RepairStep::default())
    }

    /// A piece of maintenance between commits, such as giving space back a chunk at a time; true if there is more to
    /// do.
    ///
    /// # Errors
    ///
    /// [`LogError`].
    fn maintain(&mut self) -> Result<bool, LogError> {
        Ok(false)
    }

    /// A new reader, which can be kept and moved to another thread.
    ///
    /// # Errors
    ///
    /// [`LogError`].
    fn reader(&self) -> Result<Box<dyn EventReader>, LogError>;

    /// Opens further readers without the log, so that reading goes on beside a busy one and after a failure of it.
    /// Without it, the store asks the log for each reader, and reads with the existing ones while the log is away.
    fn reader_source(&self) -> Option<ReaderSource> {
        None
    }
}

/// Opens a reader of a log, from any thread.
pub type ReaderSource = Arc<dyn Fn() -> Result<Box<dyn EventReader>, LogError> + Send + Sync>;

/// Reads what an [`EventLog`] has recorded, beside its writer. Events are handed out shared.
pub trait EventReader: Send + 'static {
    /// The event with this id; `None` if it was pruned or is not recorded yet.
    ///
    /// # Errors
    ///
    /// [`LogError`], after which the reader must not be used any more; the same for the other methods.
    fn get(&self, id: EventId) -> Result<Option<Arc<Event>>, LogError>;

    /// The events that the query asks for, in its order.
    ///
    /// # Errors
    ///
    /// [`LogError`]; that of a [damaged](LogError::damaged) event names it.
    fn query(&self, query: &Query) -> Result<Vec<Arc<Event>>, LogError>;

    /// The same for a log that may be damaged: up to the first damaged event, or, if the query
    /// [skips](crate::OnDamaged::Skip) those, without them. A log whose events can be damaged implements it. By
    /// default, a query that has failed on one is repeated for the events before it, and skips nothing.
    ///
    /// # Errors
    ///
    /// [`LogError`].
    fn page(&self, query: &Query) -> Result<EventPage, LogError> {
        self.query(query).map(EventPage::new).or_else(|error| page_before(error, self, query))
    }

    /// The statistics of the log.
    ///
    /// # Errors
    ///
    /// [`LogError`].
    fn stats(&self) -> Result<EventStats, LogError>;

    /// The last acknowledged event of a durable subscription.
    ///
    /// # Errors
    ///
    /// [`LogError`].
    fn acknowledged(&self, subscription: &SubscriptionName) -> Result<Option<EventId>, LogError>;

    /// The parked events of a durable subscription, oldest first.
    ///
    /// # Errors
    ///
    /// [`LogError`].
    fn parked(&self, subscription: &SubscriptionName) -> Result<Vec<ParkedEvent>, LogError> {
        let _ = subscription;
        Ok(Vec::new())
    }

    /// The events that repairs have moved aside, the latest first, at most this many.
    ///
    /// # Errors
    ///
    /// [`LogError`].
    fn moved_aside(&self, at_most: usize) -> Result<Vec<DamagedEvent>, LogError> {
        let _ = at_most;
        Ok(Vec::new())
    }

    /// Checks every event and every way to find it; `progress` is called with the number of checked events, from time
    /// to time.
    ///
    /// # Errors
    ///
    /// [`LogError`] if it cannot check; what it finds is in the [`Verification`].
    fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<Verification, LogError>;

    /// Sets the interrupt of the reads from now on, in place of the one before. An interrupted read fails, soon.
    /// Without an implementation, reads are not stopped: the caller of a query stops waiting at its limit all the same,
    /// and the end of the store waits for the read.
    fn interrupt_by(&mut self, interrupt: &Interrupt) {
        let _ = interrupt;
    }
}

/// The events of a log before the damaged one on which its query has failed.
///
/// # Errors
/// The error, if that event is not known, or the events before it cannot be determined.
fn page_before(error: LogError, reader: &(impl EventReader + ?Sized), query: &Query) -> Result<EventPage, LogError> {
    let Some(damaged) = error.damaged_event().cloned() else { return Err(error) };
    if query.parts().order == Order::Descending || query.parts().on_damaged == OnDamaged::Skip {
        return Err(error);
    }
    let last = EventId::new(damaged.event.get() - 1);
    let before = last.map(|last| reader.query(&query.clone().up_to(last)));
    let mut page = EventPage::new(before.transpose()?.unwrap_or_default());
    page.add_damaged(damaged);
    Ok(page)
}
