//! The seam between the event store and whatever keeps its events.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::append::{Append, Appended};
use super::damaged::DamagedEvent;
use super::error::EventError;
use super::event::Event;
use super::failure::LogFailure;
use super::id::EventId;
use super::interrupt::Interrupt;
use super::page::EventPage;
use super::parked::ParkedEvent;
use super::query::Query;
use super::repair::RepairStep;
use super::stats::EventStats;
use super::subscription_name::SubscriptionName;
use super::verification::Verification;

/// Where a store keeps its events: one writer, any number of [readers](EventReader).
///
/// Every log keeps these promises:
/// 1. Ids are gapless and increase from 1, and are never given twice, also after everything was pruned and after the log
///    was closed and opened again.
/// 2. `recorded_at` is never earlier than that of the event before, even if `now` goes backwards; `observed_at` is `now`,
///    both within [`recordable`].
/// 3. A batch is taken whole or not at all. A refused one leaves nothing behind.
/// 4. At most one event with an idempotency key is held.
/// 5. A cause is recorded before its effect; an acknowledgement never goes back.
/// 6. What it has answered `Ok` is there when it is opened again, as far as this log keeps anything.
///
/// A log is synchronous and is told the time instead of asking for it. It lives with the store's writer, alone. Every
/// [`LogFailure`] is final: the log is dropped and opened again. [`MemoryLog`](crate::MemoryLog) is one to look at.
///
/// ```
/// use std::time::SystemTime;
/// use foundation::{Append, EventLog, LogFailure, NewEvent};
///
/// fn two_at_once(log: &mut dyn EventLog) -> Result<usize, LogFailure> {
///     let append = |kind| Append::new(vec![NewEvent::new(kind).expect("a kind")]);
///     let answers = log.commit(vec![append("opened"), append("closed")], SystemTime::now())?;
///     Ok(answers.into_iter().filter(Result::is_ok).count())
/// }
/// # let mut log = foundation::MemoryLog::new("production");
/// # assert_eq!(two_at_once(&mut log)?, 2);
/// # Ok::<(), LogFailure>(())
/// ```
pub trait EventLog: Send + 'static {
    /// Decides on the appends of a group, in order, and makes all that it takes durable with one commit. The answers are
    /// in the order of the group; each append is decided by itself ([`Append::admit`]), on what those before it left.
    ///
    /// # Errors
    ///
    /// [`LogFailure`]: nothing of the whole group is recorded, as far as one can know.
    fn commit(&mut self, group: Vec<Append>, now: SystemTime) -> Result<Vec<Result<Appended, EventError>>, LogFailure>;

    /// The same for a group that is still growing: it has whatever has been asked for when its next append is taken, so what
    /// comes while the first ones are written can be committed with them. Each append is recorded at the time at which it
    /// is taken. Unless a log does better, the group is what is there at once.
    ///
    /// # Errors
    ///
    /// [`LogFailure`]: nothing of what was taken is recorded, as far as one can know.
    fn commit_arriving(
        &mut self,
        group: &mut dyn Iterator<Item = Append>,
        clock: &dyn Fn() -> SystemTime,
    ) -> Result<Vec<Result<Appended, EventError>>, LogFailure> {
        let group = group.collect();
        self.commit(group, clock())
    }

    /// Forgets at most `at_most` events, the oldest first, while `bound` says that there are too many or too old ones, in
    /// one commit; none from `keep_from` on. How many: 0 means that the bound is met, or that only what is kept is left.
    ///
    /// # Errors
    ///
    /// [`LogFailure`].
    fn prune(&mut self, bound: PruneBound, keep_from: Option<EventId>, at_most: usize) -> Result<u64, LogFailure>;

    /// Remembers up to where a durable subscription has acknowledged, unless it has come further already.
    ///
    /// # Errors
    ///
    /// [`LogFailure`].
    fn acknowledge(&mut self, subscription: &SubscriptionName, up_to: EventId) -> Result<(), LogFailure>;

    /// Forgets a durable subscription; true if there was one.
    ///
    /// # Errors
    ///
    /// [`LogFailure`].
    fn forget_subscription(&mut self, subscription: &SubscriptionName) -> Result<bool, LogFailure>;

    /// Keeps an event that a durable subscription has put aside, instead of what it has parked of the same event before;
    /// false if the subscription has parked `at_most` others, or if the log keeps no parked events, as without this.
    ///
    /// # Errors
    ///
    /// [`LogFailure`].
    fn park(&mut self, parked: &ParkedEvent, at_most: usize) -> Result<bool, LogFailure> {
        let _ = (parked, at_most);
        Ok(false)
    }

    /// Forgets a parked event; true if there was one. With a subscription go all that it has parked.
    ///
    /// # Errors
    ///
    /// [`LogFailure`].
    fn unpark(&mut self, subscription: &SubscriptionName, event: EventId) -> Result<bool, LogFailure> {
        let _ = (subscription, event);
        Ok(false)
    }

    /// Takes exported events with their ids, in order, all or none: gapless after what is there, or from any id on if
    /// nothing was ever recorded.
    ///
    /// # Errors
    ///
    /// [`LogFailure`]; inside of it [`EventError::NotImported`].
    fn import(&mut self, events: Vec<Event>) -> Result<Result<(), EventError>, LogFailure>;

    /// Moves events aside that cannot be read, and puts one of the kind `event_lost` in the place of each and of each that is
    /// missing: at most so many are looked at, from this one on. What is moved aside is kept.
    ///
    /// # Errors
    ///
    /// [`LogFailure`].
    fn repair(&mut self, from: EventId, at_most: usize) -> Result<RepairStep, LogFailure> {
        let _ = (from, at_most);
        Ok(RepairStep::default())
    }

    /// A bit of upkeep between commits, such as giving space back a chunk at a time; true if there is more to do.
    ///
    /// # Errors
    ///
    /// [`LogFailure`].
    fn maintain(&mut self) -> Result<bool, LogFailure> {
        Ok(false)
    }

    /// A reader of its own, to be kept and moved to another thread.
    ///
    /// # Errors
    ///
    /// [`LogFailure`].
    fn reader(&self) -> Result<Box<dyn EventReader>, LogFailure>;

    /// How to open further readers without the log, so that reading goes on beside a busy one and after a failure of it.
    /// Unless a log has it, its store asks the log for each reader, and reads with those that it has while the log is away.
    fn reader_source(&self) -> Option<ReaderSource> {
        None
    }
}

/// Opens a reader of a log, from any thread.
pub type ReaderSource = Arc<dyn Fn() -> Result<Box<dyn EventReader>, LogFailure> + Send + Sync>;

/// Reads what an [`EventLog`] has recorded, beside its writer. Events are handed out shared.
pub trait EventReader: Send + 'static {
    /// The event with this id; `None` if it was pruned or is not recorded yet.
    ///
    /// # Errors
    ///
    /// [`LogFailure`], after which the reader is not to be used any more; the same for the others.
    fn get(&self, id: EventId) -> Result<Option<Arc<Event>>, LogFailure>;

    /// The events that the query asks for, in its order.
    ///
    /// # Errors
    ///
    /// [`LogFailure`]; that of a [damaged](LogFailure::damaged) event names it.
    fn query(&self, query: &Query) -> Result<Vec<Arc<Event>>, LogFailure>;

    /// The same of a log that may be damaged: up to the first damaged event, or, if the query
    /// [skips](crate::OnDamaged::Skip) those, without them. A log whose events can be damaged implements it; otherwise a
    /// query that has failed because of one is asked again for what comes before it, and skips nothing.
    ///
    /// # Errors
    ///
    /// [`LogFailure`].
    fn page(&self, query: &Query) -> Result<EventPage, LogFailure> {
        self.query(query).map(EventPage::new).or_else(|failure| EventPage::before(failure, self, query))
    }

    /// How much there is.
    ///
    /// # Errors
    ///
    /// [`LogFailure`].
    fn stats(&self) -> Result<EventStats, LogFailure>;

    /// Up to where a durable subscription has acknowledged.
    ///
    /// # Errors
    ///
    /// [`LogFailure`].
    fn acknowledged(&self, subscription: &SubscriptionName) -> Result<Option<EventId>, LogFailure>;

    /// What a durable subscription has parked, oldest event first.
    ///
    /// # Errors
    ///
    /// [`LogFailure`].
    fn parked(&self, subscription: &SubscriptionName) -> Result<Vec<ParkedEvent>, LogFailure> {
        let _ = subscription;
        Ok(Vec::new())
    }

    /// What repairs have moved aside, the latest first, at most so many.
    ///
    /// # Errors
    ///
    /// [`LogFailure`].
    fn moved_aside(&self, at_most: usize) -> Result<Vec<DamagedEvent>, LogFailure> {
        let _ = at_most;
        Ok(Vec::new())
    }

    /// Looks at every event and at everything by which they are found; `progress` is told how many events are checked,
    /// from time to time.
    ///
    /// # Errors
    ///
    /// [`LogFailure`] if it cannot look; what it finds is in the [`Verification`].
    fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<Verification, LogFailure>;

    /// What tells the reads from now on to stop, instead of what told them before. A read that is told to stop fails, soon.
    /// Unless a reader has it, its reads are not stopped: the caller of a query stops waiting at its limit all the same, and the
    /// end of the store waits for the read.
    fn interrupt_by(&mut self, interrupt: &Interrupt) {
        let _ = interrupt;
    }
}

/// Which of the oldest events are to go.
///
/// ```
/// use foundation::PruneBound;
///
/// let at_most_a_million = PruneBound::Count(1_000_000);
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PruneBound {
    /// Those that were recorded before this time.
    Before(SystemTime),
    /// Those beyond this many.
    Count(u64),
    /// As many as it takes for the rest to have no more than these bytes, counted as in
    /// [`EventStats::bytes`](crate::EventStats::bytes).
    Bytes(u64),
}

/// The time nearest to this one that every log can keep: from 1970 to 2262, the 64-bit range of nanoseconds.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use foundation::recordable;
///
/// assert_eq!(recordable(UNIX_EPOCH - Duration::from_secs(1)), UNIX_EPOCH);
/// ```
pub fn recordable(time: SystemTime) -> SystemTime {
    time.clamp(UNIX_EPOCH, UNIX_EPOCH + Duration::from_nanos(i64::MAX as u64))
}
