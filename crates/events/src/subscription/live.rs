//! Following the events of a store.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use foundation_kernel::containment::report;
use foundation_kernel::names::Watch;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use tokio::task::coop::poll_proceed;
use tokio::time::Sleep;

use super::follower::{Chunk, ChunkRequest, Follower, Next, TailReader, Unreadable};
use crate::{
    DamagedEvent, Event, EventId, EventKind, EventStoreError, EventStoreLimits, FailureRule, OnDamaged, ParkedEvent,
    SubscriptionError, SubscriptionName,
};

/// An item of a subscription: an event, or why some cannot be shown.
type SubscriptionItem = Result<Arc<Event>, SubscriptionError>;

/// The store of a subscription: what it reads, and what it has the store remember.
pub(crate) trait SubscriptionStore: Send + Sync {
    /// Reads a chunk of the log.
    fn read(&self, request: ChunkRequest) -> BoxFuture<'static, Result<Chunk, EventStoreError>>;

    /// Remembers the last acknowledged event of a durable subscription.
    fn acknowledge(&self, name: &SubscriptionName, up_to: EventId) -> BoxFuture<'_, Result<(), EventStoreError>>;

    /// Parks an event; false if the subscription has too many parked, or the log keeps no parked events at all.
    fn park(&self, parked: ParkedEvent, at_most: usize) -> BoxFuture<'_, Result<bool, EventStoreError>>;

    /// Removes a parked event from the log, and from what is to be shown again; true if it was parked.
    fn unpark(&self, name: &SubscriptionName, event: EventId) -> BoxFuture<'_, Result<bool, EventStoreError>>;
}

/// The events that a subscription follows, and where it begins.
///
/// ```
/// use foundation_events::{EventId, EventKind, SubscriptionSpec};
///
/// const PLACED: EventKind = EventKind::from_static("order_placed");
/// let orders = SubscriptionSpec::after(EventId::FIRST).kind(PLACED).consumer("billing");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriptionSpec {
    start: Start,
    kinds: Vec<EventKind>,
    pub(crate) consumer: Option<String>,
    on_damaged: OnDamaged,
    pub(crate) on_failure: FailureRule,
}

/// Where a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Beginning,
    After(EventId),
    Now,
}

impl SubscriptionSpec {
    /// All events that were ever recorded, then those to come. If the oldest were pruned, that is reported first.
    pub fn from_beginning() -> Self {
        Self::starting(Start::Beginning)
    }

    /// The events recorded after this one, then those to come. An id that is not given yet is waited for.
    pub fn after(event: EventId) -> Self {
        Self::starting(Start::After(event))
    }

    /// Only events recorded from now on: none whose append was answered before, and none that is
    /// [imported](crate::EventStore::import), since it was recorded elsewhere before. A durable subscription skips what
    /// is imported while the process runs, also when it is resumed with this.
    pub fn from_now() -> Self {
        Self::starting(Start::Now)
    }

    /// Only events of this kind, or of another one that was named before.
    pub fn kind(mut self, kind: EventKind) -> Self {
        self.kinds.push(kind);
        self
    }

    /// Only events of one of these kinds, or of one that was named before; no kind at all means any.
    pub fn kinds(mut self, kinds: impl IntoIterator<Item = EventKind>) -> Self {
        self.kinds.extend(kinds);
        self
    }

    /// The name of this consumer, which is reported to a second one that is refused. By default, the number of its
    /// tokio task, or that it is outside of any task.
    pub fn consumer(mut self, name: impl Into<String>) -> Self {
        self.consumer = Some(name.into());
        self
    }

    /// What happens at an event that is damaged or missing from the log; [`OnDamaged::Report`] by default.
    pub fn on_damaged(mut self, choice: OnDamaged) -> Self {
        self.on_damaged = choice;
        self
    }

    /// What happens to an event on which the consumer of a durable subscription fails; by default, it is shown again
    /// three times and then parked.
    pub fn on_failure(mut self, rule: FailureRule) -> Self {
        self.on_failure = rule;
        self
    }

    /// The position after which it begins, in a log whose highest id is `newest`, 0 if it has none.
    pub(crate) fn begins_after(&self, newest: u64) -> u64 {
        match self.start {
            Start::Beginning => 0,
            Start::After(event) => event.get(),
            Start::Now => newest,
        }
    }

    fn starting(start: Start) -> Self {
        let (on_damaged, on_failure) = Default::default();
        Self { start, kinds: Vec::new(), consumer: None, on_damaged, on_failure }
    }
}

/// The events of a store from a position on, in order, each once: first the recorded ones, then each new one. It
/// resembles a catch-up subscription to the `$all` stream in EventStoreDB.
///
/// It pulls. The events that follow its position are read from the latest ones, which are kept in memory (up to 1,024
/// of them, or 8 MiB), or, further behind, from the log, 256 at a time. So a slow reader delays no other task, however
/// slow, and is never dropped: it reads on from the log. Events that were pruned before it reached them are reported as
/// [`SubscriptionError::Missed`]; it goes on after them.
///
/// An event is shown when it is as safe as its log makes events, and before its append is answered or shortly after.
/// The subscription outlives the store's restarts. It ends with the namespace, after the events that it finds in
/// memory; later ones stay in the log. Dropped, it is gone at once; it delays no shutdown. An idle one costs a few
/// hundred bytes and is woken at each commit; a live one costs its reader one short lock for up to 256 events.
///
/// ```
/// use foundation_events::{EventStorage, EventStore, NewEvent, SubscriptionSpec};
/// use foundation_kernel::names::{Namespace, ProcessRegistry};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let root = ProcessRegistry::builder()
/// #     .service(EventStore::service(EventStorage::memory()))
/// #     .start().await?;
/// # let events = EventStore::of(&root.namespace(Namespace::Production).await?);
/// let opened = events.append(NewEvent::new("opened")?).await?;
///
/// let mut all = events.subscribe(SubscriptionSpec::from_beginning()).await?;
/// assert_eq!(all.next().await?.map(|event| event.id), Some(opened));
/// let closed = events.append(NewEvent::new("closed")?).await?;
/// assert_eq!(all.next().await?.map(|event| event.id), Some(closed));
///
/// root.shutdown().await;
/// while let Some(event) = all.next().await? {
///     println!("recorded during the shutdown: {}", event.kind);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a subscription that is dropped shows nothing"]
pub struct EventSubscription {
    follower: Follower,
    tail: TailReader,
    store: Arc<dyn SubscriptionStore>,
    reading: Option<BoxFuture<'static, (ChunkRequest, Result<Chunk, EventStoreError>)>>,
    /// The pause before the log is read again after a failure.
    pause: Pause,
    /// Signals the end of the namespace; `None` after it.
    life: Option<Watch>,
    on_damaged: OnDamaged,
    skipped: u64,
    stopped: bool,
}

impl EventSubscription {
    /// The subscription that follows the events after `start`, as the specification says; it ends with `life`.
    pub(crate) fn new(
        spec: &SubscriptionSpec,
        start: u64,
        tail: TailReader,
        store: Arc<dyn SubscriptionStore>,
        limits: &EventStoreLimits,
        life: Watch,
    ) -> Self {
        let follower = Follower::new(spec.kinds.as_slice().into(), start);
        let follower = if spec.start == Start::Now { follower.without_imports() } else { follower };
        let (pause, life, on_damaged) = (Pause::before_reading(limits), Some(life), spec.on_damaged);
        Self { follower, tail, store, reading: None, pause, life, on_damaged, skipped: 0, stopped: false }
    }

    /// Waits for the next event; `None` when the subscription has ended, and from then on: with its namespace, or at an
    /// event that cannot be read, if the [specification](crate::SubscriptionSpec::on_damaged) says so. Nothing is lost if
    /// the wait is cancelled. As a [`Stream`], it shows the same.
    ///
    /// A reader that is more than 1,024 events behind when a namespace ends, or more than 8 MiB of them, does not see
    /// the rest: it is in the log, which is not opened any more.
    ///
    /// # Errors
    /// [`SubscriptionError::Missed`], [`SubscriptionError::Rewound`]: the next call goes on after the gap.
    /// [`SubscriptionError::Damaged`], [`SubscriptionError::Lost`]: once, and the next call goes on, unless the
    /// [specification](crate::SubscriptionSpec::on_damaged) says otherwise.
    /// [`SubscriptionError::Store`]: the next call tries again, after a pause.
    pub async fn next(&mut self) -> Result<Option<Arc<Event>>, SubscriptionError> {
        poll_fn(|context| self.poll(context)).await.transpose()
    }

    /// The position up to which it is done: a subscription [after](crate::SubscriptionSpec::after) this event would go
    /// on as this one does. `None` at the beginning.
    pub fn position(&self) -> Option<EventId> {
        EventId::new(self.follower.position())
    }

    /// How many events it has skipped because they are damaged or missing, as its
    /// [specification](crate::SubscriptionSpec::on_damaged) says.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    pub(super) fn store(&self) -> &Arc<dyn SubscriptionStore> {
        &self.store
    }

    /// Whether it has ended at a damaged or missing event, as its specification says.
    pub(super) fn has_stopped(&self) -> bool {
        self.stopped
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<SubscriptionItem>> {
        // A reader with many events does not keep its thread from other tasks.
        let budget = ready!(poll_proceed(context));
        let shown = self.show(context);
        if shown.is_ready() {
            budget.made_progress();
        }
        shown
    }

    fn show(&mut self, context: &mut Context<'_>) -> Poll<Option<SubscriptionItem>> {
        if self.stopped {
            return Poll::Ready(None);
        }
        loop {
            let next = match self.read_on(context) {
                Poll::Ready(Ok(None)) => self.tail.next(&mut self.follower, context.waker()),
                Poll::Ready(Ok(Some(next))) => next,
                Poll::Ready(Err(_)) | Poll::Pending if self.has_ended(context) => return Poll::Ready(None),
                Poll::Ready(Err(error)) => {
                    self.pause.begin();
                    return Poll::Ready(Some(Err(error.into())));
                }
                Poll::Pending => return Poll::Pending,
            };
            match next {
                Next::Event(event) => return Poll::Ready(Some(Ok(event))),
                Next::Missed { from, to } => return Poll::Ready(Some(Err(SubscriptionError::Missed { from, to }))),
                Next::Unreadable(unreadable) if self.on_damaged == OnDamaged::Skip => self.skip(unreadable),
                Next::Unreadable(unreadable) => {
                    self.stopped = self.on_damaged == OnDamaged::Stop;
                    return Poll::Ready(Some(Err(unreadable.into())));
                }
                Next::Rewound { position, newest } => {
                    return Poll::Ready(Some(Err(SubscriptionError::Rewound { position, newest })));
                }
                Next::Read(request) => self.reading = Some(self.begin_to_read(request)),
                Next::Wait if self.life.is_none() => return Poll::Ready(None),
                // Something may have been recorded between the check and the end: check again, after the end.
                Next::Wait if self.has_ended(context) => {}
                Next::Wait => return Poll::Pending,
            }
        }
    }

    /// Goes on with reading the log, if a read is under way; reports missed events.
    fn read_on(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Next>, EventStoreError>> {
        // Retrying at once after a failure would keep the storage from recovering, and a core busy.
        ready!(self.pause.poll(context));
        let Some(reading) = &mut self.reading else { return Poll::Ready(Ok(None)) };
        let (request, found) = ready!(reading.poll_unpin(context));
        self.reading = None;
        let found = match found {
            Ok(found) => found,
            Err(error) => return Poll::Ready(Err(error)),
        };
        self.pause.end();
        Poll::Ready(Ok(self.follower.learn(&request, found)))
    }

    fn skip(&mut self, unreadable: Unreadable) {
        self.skipped += unreadable.count();
        let error = SubscriptionError::from(unreadable);
        report(|| tracing::warn!(%error, "a subscription skips what it cannot read"));
    }

    fn begin_to_read(
        &self,
        request: ChunkRequest,
    ) -> BoxFuture<'static, (ChunkRequest, Result<Chunk, EventStoreError>)> {
        let found = self.store.read(request.clone());
        async move { (request, found.await) }.boxed()
    }

    /// Whether the namespace has ended; if not, its end will wake this task.
    fn has_ended(&mut self, context: &mut Context<'_>) -> bool {
        while let Some(life) = &mut self.life {
            match life.poll_next_unpin(context) {
                Poll::Pending => return false,
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) => self.life = None,
            }
        }
        true
    }
}

impl From<Unreadable> for SubscriptionError {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Damaged(DamagedEvent { event, reason }) => Self::Damaged { event, reason },
            Unreadable::Lost { from, to } => Self::Lost { from, to },
        }
    }
}

impl Stream for EventSubscription {
    type Item = SubscriptionItem;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<SubscriptionItem>> {
        self.poll(context)
    }
}

impl std::fmt::Debug for EventSubscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EventSubscription(at {})", self.follower.position())
    }
}

/// The pause after a failed attempt: it doubles with each failure in a row.
#[derive(Debug)]
struct Pause {
    first: Duration,
    longest: Duration,
    failures: u32,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Pause {
    /// Before a log is read again.
    fn before_reading(limits: &EventStoreLimits) -> Self {
        // A pause of zero would be a busy loop.
        let first = limits.read_again_first.max(Duration::from_millis(1));
        Self { first, longest: limits.read_again_longest.max(first), failures: 0, alarm: None }
    }

    /// The pause after the next failure.
    fn delay(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }

    /// An attempt has failed; the next one waits. Must be called within a runtime.
    fn begin(&mut self) {
        #[expect(clippy::disallowed_methods, reason = "the delay is what this is for")]
        let alarm = tokio::time::sleep(self.delay());
        self.alarm = Some(Box::pin(alarm));
        self.failures = self.failures.saturating_add(1);
    }

    /// An attempt has succeeded.
    fn end(&mut self) {
        (self.failures, self.alarm) = (0, None);
    }

    /// Ready when the next attempt may begin.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(alarm) = &mut self.alarm {
            ready!(alarm.as_mut().poll(context));
            self.alarm = None;
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_with_each_failure_in_a_row_up_to_the_longest() {
        let delays = |limits: EventStoreLimits| {
            let pause = |failures| Pause { failures, ..Pause::before_reading(&limits) };
            [0, 1, 2, 6, 7, 40].map(|failures| pause(failures).delay().as_millis())
        };
        assert_eq!(delays(EventStoreLimits::new()), [50, 100, 200, 3_200, 5_000, 5_000]);
        let (zero, second) = (Duration::ZERO, Duration::from_secs(1));
        let limits = EventStoreLimits::new().read_again_first(zero).read_again_longest(second);
        assert_eq!(delays(limits), [1, 2, 4, 64, 128, 1_000]);
        assert_eq!(delays(EventStoreLimits::new().read_again_first(second).read_again_longest(zero)), [1_000; 6]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_after_a_success_does_not_wait() {
        let mut pause = Pause::before_reading(&EventStoreLimits::new());
        let start = tokio::time::Instant::now();
        for elapsed in [50, 150] {
            pause.begin();
            std::future::poll_fn(|context| pause.poll(context)).await;
            assert!(start.elapsed().as_millis() >= elapsed);
        }
        let before = start.elapsed();
        pause.end();
        std::future::poll_fn(|context| pause.poll(context)).await;
        assert_eq!(start.elapsed(), before);
    }
}
