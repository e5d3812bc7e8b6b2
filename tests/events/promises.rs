use std::io;
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use foundation::events::{
    DurableSubscription, EventId, EventKind, EventLog, EventStorage, EventStoreError, EventStoreLimits, FailureRule,
    FailureVerdict, ForwardingEnd, LogError, MemoryLog, Query, SqliteOptions, SubscriptionError, SubscriptionName,
    SubscriptionSpec, TransferError,
};
use foundation::names::{ProcessRegistry, RegistryError};
use foundation::supervision::Backoff;
use foundation::{ConfigServer, EventStore, Foundation, Limits, Namespace, NewEvent, ServiceKey, TestNamespace};
use foundation_testkit::{
    Command, FaultyLog, Probe, SOON, TestClock, TestDisk, configured, crash, held_up_by, soon, unregister_event_store,
};
use futures::future::select_all;
use futures::{FutureExt, poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, BufReader, ReadBuf};
use tokio::time::{Instant, timeout};

const NOTED: EventKind = EventKind::from_static("noted");
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const BOOKS: SubscriptionName = SubscriptionName::from_static("books");
const CLERK: ServiceKey<Command> = ServiceKey::from_static("clerk");

fn id(number: u64) -> EventId {
    EventId::new(number).unwrap()
}

async fn note(store: &EventStore, count: u64) {
    store.append_batch((0..count).map(|number| NewEvent::of(NOTED).payload(number).unwrap()).collect()).await.unwrap();
}

/// All notes, with this rule for failures.
fn notes(rule: FailureRule) -> SubscriptionSpec {
    SubscriptionSpec::from_beginning().kind(NOTED).on_failure(rule)
}

async fn next(books: &mut DurableSubscription) -> u64 {
    soon("the next event", books.next()).await.unwrap().unwrap().id.get()
}

async fn parked(store: &EventStore) -> Vec<u64> {
    store.parked(&BOOKS).await.unwrap().iter().map(|parked| parked.event.id.get()).collect()
}

fn is_unavailable<T: std::fmt::Debug>(outcome: &Result<T, EventStoreError>) -> bool {
    matches!(outcome, Err(EventStoreError::Unavailable { batch, .. }) if batch.is_empty())
}

// ---- reading ----

/// `EventStore`: every read but `get` sees the appends that were requested before.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn reads_see_the_appends_requested_before_and_get_does_not_wait() {
    let clock = TestClock::default();
    let foundation = held_up_by(&clock).start().await.unwrap();
    let store = foundation.events();
    let mut held = clock.hold_next();
    store.note(vec![NewEvent::of(NOTED)]).unwrap();
    held.arrival().await;
    assert_eq!((store.get(EventId::FIRST).await.unwrap(), store.position()), (None, None));
    let mut reads = pin!(async { futures::join!(store.query(Query::new()), store.recent(1), store.stats()) });
    assert!(poll!(&mut reads).is_pending());
    drop(held);
    let (found, newest, stats) = soon("the reads", reads).await;
    assert_eq!((found.unwrap().len(), newest.unwrap().len(), stats.unwrap().recorded), (1, 1, 1));
    foundation.shutdown().await;
}

// ---- while the store is away ----

/// `subscribe`, `position`, `outage`, `wait_until_up`: of a store that never started, and of one whose namespace has ended.
#[tokio::test(start_paused = true)]
async fn a_wait_for_a_store_that_never_started_takes_the_configured_time_and_none_if_it_has_ended() {
    let registry = ProcessRegistry::start().await.unwrap();
    let store = EventStore::of(&registry.namespace(Namespace::test()).await.unwrap());
    assert!(store.position().is_none() && store.outage().is_none());
    let begun = Instant::now();
    let refused = store.subscribe(SubscriptionSpec::from_now()).await.unwrap_err();
    assert!(matches!(refused, SubscriptionError::Store(EventStoreError::NotDelivered { .. })), "{refused}");
    assert_eq!(begun.elapsed().as_secs(), 5);
    let late = store.wait_until_up(5 * SECOND).await.unwrap_err();
    assert!(matches!(late, RegistryError::WaitTimedOut { .. }), "{late}");
    assert_eq!(begun.elapsed().as_secs(), 10);
    let waiting = [store.wait_until_up(None).boxed(), store.wait_until_readable(None).boxed()];
    assert!(timeout(24 * HOUR, select_all(waiting)).await.is_err(), "a wait without a limit has none");

    registry.shutdown().await;
    let refused = store.subscribe(SubscriptionSpec::from_now()).await.unwrap_err();
    assert!(matches!(refused, SubscriptionError::Store(EventStoreError::NotDelivered { .. })), "{refused}");
    let gone = store.wait_until_up(SOON).await.unwrap_err();
    assert!(matches!(gone, RegistryError::NotRunning { .. }), "{gone}");
    assert_eq!(begun.elapsed().as_secs(), 24 * 3_600 + 10);
}

/// `EventStoreError::Unavailable`: for every change of the log, while it has failed; nothing is lost by it.
#[tokio::test]
async fn while_the_log_is_away_no_event_is_pruned_parked_or_acknowledged() {
    let disk = TestDisk::default();
    let foundation = Foundation::builder().events(disk.in_memory()).start().await.unwrap();
    let store = foundation.events();
    note(store, 3).await;
    let mut books = store.subscribe_durable(BOOKS, notes(FailureRule::park_after(0))).await.unwrap();
    assert_eq!(next(&mut books).await, 1);
    assert_eq!(books.fail(id(1), "no").await.unwrap(), FailureVerdict::Park);
    assert_eq!(next(&mut books).await, 2);
    disk.set_full(true);
    store.append(NewEvent::of(NOTED)).await.unwrap_err();

    assert!(is_unavailable(&store.prune_before(SystemTime::now() + Duration::from_secs(60)).await));
    assert!(is_unavailable(&store.unpark(&BOOKS, id(1)).await));
    assert!(is_unavailable(&store.repair().await));
    let lines = b"{}\n";
    assert!(matches!(store.import(&lines[..], |_| ()).await, Err(TransferError::Store { events: 0, .. })));
    let Err(SubscriptionError::Store(cause)) = books.ack(id(2)).await else { panic!("it cannot be remembered") };
    assert!(is_unavailable(&Err::<(), _>(cause)));
    // An event that cannot be parked is delivered again.
    let Err(SubscriptionError::Store(cause)) = books.fail(id(2), "no").await else { panic!("it cannot be parked") };
    assert!(is_unavailable(&Err::<(), _>(cause)));
    assert_eq!((parked(store).await, store.stats().await.unwrap().held), (vec![1], 3));

    disk.set_full(false);
    store.wait_until_up(SOON).await.unwrap();
    assert_eq!(next(&mut books).await, 2);
    books.ack(id(2)).await.unwrap();
    assert_eq!(next(&mut books).await, 3);
    foundation.shutdown().await;
}

/// `EventStoreLimits::restart`: the requests of durable subscriptions wait for a store that restarts, as all others do.
#[tokio::test(start_paused = true)]
async fn a_durable_subscription_waits_for_a_store_that_restarts() {
    let foundation = Foundation::builder().service_backoff(Backoff::Constant(SECOND)).start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let store = namespace.events();
    note(store, 2).await;
    let restarts = async || namespace.kill(&EventStore::NAME).await.unwrap();
    restarts().await;
    let mut books = store.subscribe_durable(BOOKS, notes(FailureRule::park_after(0))).await.unwrap();
    assert_eq!(next(&mut books).await, 1);
    restarts().await;
    books.ack(id(1)).await.unwrap();
    assert_eq!(next(&mut books).await, 2);
    restarts().await;
    assert_eq!(books.fail(id(2), "no").await.unwrap(), FailureVerdict::Park);
    drop(books);
    restarts().await;
    assert!(store.forget_subscription(&BOOKS).await.unwrap());
    assert!(parked(store).await.is_empty());
    namespace.cleanup().await.unwrap();
    foundation.shutdown().await;
}

/// `SqliteOptions::locked_file`: instead of the store's limit; and the store continues when the file is free again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_a_locked_file_takes_the_time_of_its_options() {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions::default().locked_file(Duration::from_millis(10));
    let limits = Limits::new().events(EventStoreLimits::new().locked_file(HOUR).answer(HOUR));
    let storage = EventStorage::sqlite_with(directory.path(), options);
    let foundation = Foundation::builder().events(storage).limits(limits).start().await.unwrap();
    let store = foundation.events();
    note(store, 1).await;
    let tool = rusqlite::Connection::open(directory.path().join("production.db")).unwrap();
    tool.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = soon("a refusal", store.append(NewEvent::of(NOTED))).await.unwrap_err();
    let expected = "the event store records nothing at present and will try again: recording events failed in ";
    assert!(refused.to_string().starts_with(expected) && refused.to_string().contains("is locked"), "{refused}");
    assert_eq!(refused.into_batch().len(), 1, "it is certain that it is not recorded");
    assert_eq!(store.stats().await.unwrap().recorded, 1, "what is recorded is read all the same");
    tool.execute_batch("ROLLBACK").unwrap();
    soon("the store", store.wait_until_up(None)).await.unwrap();
    note(store, 1).await;
    let noted = store.query(Query::new().kind(NOTED)).await.unwrap();
    assert_eq!(noted.len(), 2);
    foundation.shutdown().await;
}

/// `EventStorage::with`: called again after each failure of the log and each restart of the store, without the log before.
#[tokio::test]
async fn a_log_is_opened_again_when_the_one_before_is_gone() {
    let (log, live) = (MemoryLog::new("a test"), Arc::new(()));
    let (held, fails) = (Arc::clone(&live), Arc::new(AtomicBool::new(false)));
    let (opened, failing) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&fails));
    let counted = Arc::clone(&opened);
    let storage = EventStorage::with(move |_| {
        // Only the scenario and this function hold it.
        assert_eq!(Arc::strong_count(&held), 2, "another log is open");
        counted.fetch_add(1, Ordering::SeqCst);
        let (held, failing) = (Arc::clone(&held), Arc::clone(&failing));
        Ok(FaultyLog::new(log.clone(), move |log, group, now| {
            let _open = &held;
            match failing.swap(false, Ordering::SeqCst) {
                true => Err(LogError::new("recording events", "a file", "no space left on device")),
                false => log.commit(group, now),
            }
        }))
    });
    let foundation = Foundation::builder().test_events(storage).start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let store = namespace.events();
    note(store, 1).await;
    fails.store(true, Ordering::SeqCst);
    store.append(NewEvent::of(NOTED)).await.unwrap_err();
    store.wait_until_up(SOON).await.unwrap();
    crash(&namespace, &EventStore::NAME).await;
    assert_eq!(opened.load(Ordering::SeqCst), 3);
    note(store, 1).await;
    assert_eq!(store.query(Query::new().kind(NOTED)).await.unwrap().len(), 2);
    namespace.cleanup().await.unwrap();
    drop(foundation.shutdown().await);
    drop(foundation);
    assert_eq!(Arc::strong_count(&live), 1, "nothing has it any more");
}

/// `prune_before`: the configuration's events are kept if they are not recorded anew within the limit of an answer.
#[tokio::test(start_paused = true)]
async fn the_events_of_the_configuration_are_kept_while_its_server_is_away() {
    let foundation = configured().service_backoff(Backoff::Constant(HOUR)).start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let store = namespace.events();
    note(store, 2).await;
    let change = namespace.config().update("server.port", 1).await.unwrap().event.unwrap();
    note(store, 1).await;
    namespace.kill(&ConfigServer::NAME).await.unwrap();
    let begun = Instant::now();
    let pruned = store.prune_before(SystemTime::now() + HOUR).await.unwrap();
    assert_eq!((pruned, begun.elapsed().as_secs(), store.stats().await.unwrap().oldest), (2, 5, Some(change)));

    namespace.config().wait_until_up(2 * HOUR).await.unwrap();
    let pruned = store.prune_before(SystemTime::now() + HOUR).await.unwrap();
    assert!(pruned >= 2 && store.get(change).await.unwrap().is_none(), "{pruned}");
    assert_eq!(namespace.config().get::<u16>("server.port").unwrap(), 1);
    namespace.cleanup().await.unwrap();
    foundation.shutdown().await;
}

// ---- following ----

/// `EventSubscription::next`: a reader far behind gets the end, and not the remaining events, when the namespace ends.
#[foundation::test]
async fn a_reader_that_is_far_behind_when_the_namespace_ends_gets_the_end(namespace: TestNamespace) {
    let store = namespace.events().clone();
    let mut behind = store.subscribe(SubscriptionSpec::from_beginning()).await.unwrap();
    note(&store, 1_025).await;
    let mut near = store.subscribe(SubscriptionSpec::after(id(1))).await.unwrap();
    namespace.cleanup().await.unwrap();
    assert_eq!(soon("the end", behind.next()).await.unwrap(), None);
    for number in 2..=1_025 {
        assert_eq!(near.next().await.unwrap().unwrap().id, id(number));
    }
    assert_eq!(soon("the end", near.next()).await.unwrap(), None);
}

/// `SubscriptionSpec::consumer`: by default the number of its task.
#[foundation::test]
async fn a_consumer_without_a_name_is_named_by_its_task(namespace: TestNamespace) {
    let store = namespace.events().clone();
    let taking = {
        let store = store.clone();
        async move { (tokio::task::id(), store.subscribe_durable(BOOKS, notes(FailureRule::default())).await.unwrap()) }
    };
    let (task, first) = tokio::spawn(taking).await.unwrap();
    let refused = store.subscribe_durable(BOOKS, notes(FailureRule::default())).await.unwrap_err();
    let SubscriptionError::Taken { consumer, .. } = refused else { panic!("{refused}") };
    assert_eq!(consumer, format!("task {task}"));
    drop(first);
    let _here = store.subscribe_durable(BOOKS, notes(FailureRule::default())).await.unwrap();
    let refused = store.subscribe_durable(BOOKS, notes(FailureRule::default())).await.unwrap_err();
    assert!(refused.to_string().contains("a consumer outside of any task"), "{refused}");
}

/// `subscribe_durable`: the one case that is left out.
#[foundation::test]
async fn a_subscription_from_now_to_an_empty_log_begins_anew_until_it_is_acknowledged(namespace: TestNamespace) {
    let store = namespace.events();
    let resume = async || store.subscribe_durable(BOOKS, SubscriptionSpec::from_now()).await.unwrap();
    drop(resume().await);
    note(store, 1).await;
    let mut books = resume().await;
    assert!(books.next().now_or_never().is_none());
    note(store, 1).await;
    assert_eq!(next(&mut books).await, 2);
    drop(books);
    // From the second time on its start is remembered.
    assert_eq!(next(&mut resume().await).await, 2);
}

/// `DurableSubscription::ack`: an undelivered event is refused, and an acknowledged one costs nothing.
#[foundation::test]
async fn a_repeated_acknowledgement_needs_no_store(namespace: TestNamespace) {
    let store = namespace.events();
    note(store, 3).await;
    let mut books = store.subscribe_durable(BOOKS, notes(FailureRule::default())).await.unwrap();
    let refused = books.ack(id(1)).await.unwrap_err();
    assert!(matches!(refused, SubscriptionError::NotGivenOut { last: None, .. }), "{refused}");
    assert_eq!((next(&mut books).await, next(&mut books).await), (1, 2));
    books.ack(id(2)).await.unwrap();
    let refused = books.ack(id(3)).await.unwrap_err();
    assert!(matches!(refused, SubscriptionError::NotGivenOut { last, .. } if last == Some(id(2))), "{refused}");
    assert_eq!(next(&mut books).await, 3);
    unregister_event_store(namespace.services());
    books.ack(id(1)).await.unwrap();
    books.ack(id(2)).await.unwrap();
    assert!(matches!(books.ack(id(3)).await, Err(SubscriptionError::Store(EventStoreError::NotDelivered { .. }))));
    assert_eq!(books.acknowledged(), Some(id(2)));
}

// ---- events on which their consumer fails ----

/// `DurableSubscription::fail`, `play_parked`: before all others, once, and every unacknowledged event stays parked.
#[foundation::test]
async fn a_parked_event_that_is_played_and_not_handled_stays_parked(namespace: TestNamespace) {
    let store = namespace.events();
    note(store, 3).await;
    let mut books = store.subscribe_durable(BOOKS, notes(FailureRule::park_after(0))).await.unwrap();
    for number in [1, 2] {
        assert_eq!(next(&mut books).await, number);
        assert_eq!(books.fail(id(number), "no").await.unwrap(), FailureVerdict::Park);
    }
    assert_eq!(store.play_parked(&BOOKS).await.unwrap(), 2);
    assert_eq!(next(&mut books).await, 1);
    assert_eq!(books.fail(id(1), "no again").await.unwrap(), FailureVerdict::Park);
    // Neither acknowledged nor failed.
    assert_eq!((next(&mut books).await, next(&mut books).await), (2, 3));
    books.ack(id(3)).await.unwrap();
    drop(books);
    assert_eq!(parked(store).await, [1, 2]);
    assert_eq!(store.parked(&BOOKS).await.unwrap()[0].reason, "no");
}

/// `unpark`: it is not delivered again, even if it was to be; true if it was parked.
#[foundation::test]
async fn an_unparked_event_is_not_delivered_again(namespace: TestNamespace) {
    let store = namespace.events();
    note(store, 2).await;
    let rule = || notes(FailureRule::park_after(0));
    let mut books = store.subscribe_durable(BOOKS, rule()).await.unwrap();
    next(&mut books).await;
    books.fail(id(1), "no").await.unwrap();
    next(&mut books).await;
    books.ack(id(2)).await.unwrap();
    drop(books);
    assert_eq!(store.play_parked(&BOOKS).await.unwrap(), 1);
    assert!(store.unpark(&BOOKS, id(1)).await.unwrap());
    assert!(!store.unpark(&BOOKS, id(1)).await.unwrap());
    let mut books = store.subscribe_durable(BOOKS, rule()).await.unwrap();
    assert!(books.next().now_or_never().is_none(), "nothing is left to be shown");
}

/// `FailureRule`: failures are counted over restarts of the store.
#[foundation::test]
async fn failures_add_up_over_a_restart_of_the_store(namespace: TestNamespace) {
    let store = namespace.events();
    note(store, 1).await;
    let rule = FailureRule::park_after(1).backoff(Backoff::Constant(Duration::from_millis(1)));
    let mut books = store.subscribe_durable(BOOKS, notes(rule)).await.unwrap();
    assert_eq!(next(&mut books).await, 1);
    assert!(matches!(books.fail(id(1), "no").await.unwrap(), FailureVerdict::ShowAgain(_)));
    crash(&namespace, &EventStore::NAME).await;
    assert_eq!(next(&mut books).await, 1);
    assert_eq!(books.fail(id(1), "no").await.unwrap(), FailureVerdict::Park);
    assert_eq!(store.parked(&BOOKS).await.unwrap()[0].failures, 2);
}

/// `forget_subscription`: parked events, and those to be delivered again, are removed with it.
#[foundation::test]
async fn parked_events_are_removed_with_their_subscription(namespace: TestNamespace) {
    let store = namespace.events();
    note(store, 1).await;
    let rule = || notes(FailureRule::park_after(0));
    let mut books = store.subscribe_durable(BOOKS, rule()).await.unwrap();
    next(&mut books).await;
    books.fail(id(1), "no").await.unwrap();
    assert!(matches!(store.forget_subscription(&BOOKS).await, Err(SubscriptionError::Taken { .. })));
    drop(books);
    assert_eq!(store.play_parked(&BOOKS).await.unwrap(), 1);
    assert!(store.forget_subscription(&BOOKS).await.unwrap());
    assert!(parked(store).await.is_empty() && !store.forget_subscription(&BOOKS).await.unwrap());
    let mut books = store.subscribe_durable(BOOKS, rule()).await.unwrap();
    assert_eq!(next(&mut books).await, 1);
    assert!(books.next().now_or_never().is_none(), "it is shown once");
}

/// `ForwardingEnd::Broken`, and the failures that `FailureRule` counts.
#[foundation::test]
async fn a_forwarding_whose_function_panics_is_broken_and_that_is_a_failure_on_the_event(namespace: TestNamespace) {
    let store = namespace.events();
    note(store, 1).await;
    let clerk = namespace.services().spawn(&CLERK, Probe::default(), ()).await.unwrap();
    for end in [ForwardingEnd::Broken, ForwardingEnd::Stopped] {
        let spec = notes(FailureRule::fail_after(0));
        let panics = |_, _| -> Command { resume_unwind(Box::new("no such message")) };
        let forwarding = store.subscribe_durable_with(BOOKS, spec, clerk.clone(), panics).await.unwrap();
        assert_eq!(soon("the end of the forwarding", forwarding.ended()).await, end);
    }
}

// ---- out and in ----

/// `export` and `import`: `progress` is called after each page.
#[foundation::test]
async fn progress_is_reported_after_each_page(namespace: TestNamespace) {
    let store = namespace.events();
    note(store, 1_200).await;
    let (mut lines, mut written) = (Vec::new(), Vec::new());
    assert_eq!(store.export(Query::new(), &mut lines, |count| written.push(count)).await.unwrap(), 1_200);
    assert_eq!(written, [500, 1_000, 1_200]);
    let other = Foundation::builder().start().await.unwrap();
    let mut taken = Vec::new();
    assert_eq!(other.events().import(&lines[..], |count| taken.push(count)).await.unwrap(), 1_200);
    assert_eq!(taken, [500, 1_000, 1_200]);
    other.shutdown().await;
}

/// Accepts this many lines, and is full then.
struct Full(usize);

impl AsyncWrite for Full {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        match self.0.checked_sub(lines) {
            Some(left) => {
                self.0 = left;
                Poll::Ready(Ok(bytes.len()))
            }
            None => Poll::Ready(Err(io::ErrorKind::StorageFull.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Cannot be read.
struct Torn;

impl AsyncRead for Torn {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
}

/// `TransferError::Io`: with the number of transferred events.
#[foundation::test]
async fn a_transfer_that_fails_reports_the_number_of_transferred_events(namespace: TestNamespace) {
    let store = namespace.events();
    note(store, 1_200).await;
    let error = store.export(Query::new(), Full(703), |_| ()).await.unwrap_err();
    let TransferError::Io { events, cause } = error else { panic!("{error}") };
    assert_eq!((events, cause.kind()), (703, io::ErrorKind::StorageFull));

    let mut lines = Vec::new();
    store.export(Query::new(), &mut lines, |_| ()).await.unwrap();
    let other = Foundation::builder().start().await.unwrap();
    let error = other.events().import(BufReader::new((&lines[..]).chain(Torn)), |_| ()).await.unwrap_err();
    let TransferError::Io { events, cause } = error else { panic!("{error}") };
    assert_eq!((events, cause.kind()), (1_000, io::ErrorKind::ConnectionReset));
    assert_eq!(other.events().stats().await.unwrap().recorded, 1_000);
    other.shutdown().await;
}
