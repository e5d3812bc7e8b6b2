//! Events on which their consumer fails: how often they are delivered again, and how they are parked.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foundation::events::{
    Event, EventId, EventKind, EventStorage, EventStoreError, FailureRule, FailureVerdict, Forwarding, ForwardingEnd,
    SubscriptionError, SubscriptionName, SubscriptionSpec,
};
use foundation::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation::supervision::{Backoff, RestartIntensity};
use foundation::{EventStore, Foundation, FoundationBuilder, NewEvent, ServiceKey, Services, TestNamespace};
use foundation_testkit::{SOON, TestClock, TestDisk, assert_error, held_up_by, poll_and_drop};
use futures::poll;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

const NOTED: EventKind = EventKind::from_static("noted");
const BOOKS: SubscriptionName = SubscriptionName::from_static("books");
const CLERK: ServiceKey<Entry> = ServiceKey::from_static("clerk");

fn id(number: u64) -> EventId {
    EventId::new(number).unwrap()
}

fn notes(numbers: std::ops::RangeInclusive<u64>) -> Vec<NewEvent> {
    numbers.map(|number| NewEvent::of(NOTED).payload(number).unwrap()).collect()
}

fn spec(rule: FailureRule) -> SubscriptionSpec {
    SubscriptionSpec::from_beginning().kind(NOTED).on_failure(rule)
}

/// Records each number that it receives, and fails on some.
#[derive(Clone)]
struct Clerk {
    events: EventStore,
    rule: FailureRule,
    cannot: Arc<Mutex<BTreeSet<u64>>>,
    falls: fn(u64) -> Result<(), ActorProcessingErr>,
    seen: UnboundedSender<u64>,
}

struct Entry(Result<Arc<Event>, SubscriptionError>, RpcReplyPort<()>);
foundation::local_message!(Entry);

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Clerk {
    type Msg = Entry;
    type State = Option<Forwarding>;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Entry>, (): ()) -> Result<Self::State, ActorProcessingErr> {
        Ok(None)
    }

    async fn post_start(&self, myself: ActorRef<Entry>, books: &mut Self::State) -> Result<(), ActorProcessingErr> {
        *books = Some(self.events.subscribe_durable_with(BOOKS, spec(self.rule.clone()), myself, Entry).await?);
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Entry>,
        Entry(event, answer): Entry,
        _: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let number = event?.payload_as::<u64>()?;
        self.seen.send(number)?;
        if self.cannot.lock().unwrap().contains(&number) {
            (self.falls)(number)?;
        }
        Ok(answer.send(())?)
    }
}

/// A foundation with a clerk that fails on these, and the numbers that the clerk receives.
struct Office {
    cannot: Arc<Mutex<BTreeSet<u64>>>,
    rule: FailureRule,
    falls: fn(u64) -> Result<(), ActorProcessingErr>,
}

impl Office {
    fn new(cannot: impl IntoIterator<Item = u64>, rule: FailureRule) -> Self {
        let falls = |number| Err(format!("what is {number}?").into());
        Self { cannot: Arc::new(Mutex::new(cannot.into_iter().collect())), rule, falls }
    }

    async fn open(&self, builder: FoundationBuilder) -> (Foundation, UnboundedReceiver<u64>) {
        let (seen, entries) = unbounded_channel();
        let (cannot, rule, falls) = (Arc::clone(&self.cannot), self.rule.clone(), self.falls);
        let child = move |services: &Services| {
            let events = services.events().clone();
            let clerk = Clerk { events, rule: rule.clone(), cannot: Arc::clone(&cannot), falls, seen: seen.clone() };
            services.child_spec(&CLERK, move || (clerk.clone(), ()))
        };
        (builder.child(child).start().await.unwrap(), entries)
    }
}

/// The received numbers up to this one.
async fn until(entries: &mut UnboundedReceiver<u64>, last: u64) -> Vec<u64> {
    let mut seen = Vec::new();
    while seen.last() != Some(&last) {
        seen.push(entries.recv().await.unwrap());
    }
    seen
}

async fn parked(foundation: &Foundation) -> Vec<u64> {
    let parked = foundation.events().parked(&BOOKS).await.unwrap();
    parked.iter().map(|parked| parked.event.payload_as().unwrap()).collect()
}

fn at_once(rule: FailureRule) -> FailureRule {
    rule.backoff(Backoff::Constant(Duration::from_millis(1)))
}

fn patient() -> FoundationBuilder {
    Foundation::builder().intensity(RestartIntensity::new(100, Duration::from_secs(1)))
}

// ---- in an actor ----

#[tokio::test(start_paused = true)]
async fn an_event_on_which_an_actor_fails_each_time_is_parked_and_all_others_are_handled() {
    let panics: fn(u64) -> Result<(), ActorProcessingErr> = |number| panic!("what is {number}?");
    for falls in [None, Some(panics)] {
        let mut office = Office::new([3], FailureRule::default());
        office.falls = falls.unwrap_or(office.falls);
        // With the default restart intensity of supervisors.
        let (foundation, mut entries) = office.open(Foundation::builder()).await;
        let start = Instant::now();
        foundation.events().append_batch(notes(1..=5)).await.unwrap();
        assert_eq!(until(&mut entries, 5).await, [1, 2, 3, 3, 3, 3, 4, 5]);
        assert!(start.elapsed() >= Duration::from_secs(1 + 2 + 4), "{:?}", start.elapsed());
        assert_eq!(parked(&foundation).await, [3]);
        let kept = foundation.events().parked(&BOOKS).await.unwrap();
        assert_eq!((kept[0].failures, &kept[0].subscription), (4, &BOOKS));
        foundation.events().append_batch(notes(6..=6)).await.unwrap();
        assert_eq!(until(&mut entries, 6).await, [6]);
        foundation.shutdown().await;
    }
}

#[tokio::test]
async fn parked_events_are_there_in_the_next_process_and_can_be_played_again() {
    let directory = tempfile::tempdir().unwrap();
    let office = Office::new([2, 4], at_once(FailureRule::park_after(1)));
    let open = async || office.open(patient().events(EventStorage::sqlite(directory.path()))).await;
    let (foundation, mut entries) = open().await;
    foundation.events().append_batch(notes(1..=5)).await.unwrap();
    assert_eq!(until(&mut entries, 5).await, [1, 2, 2, 3, 4, 4, 5]);
    foundation.shutdown().await;

    let (foundation, mut entries) = open().await;
    assert_eq!(parked(&foundation).await, [2, 4]);
    office.cannot.lock().unwrap().remove(&2);
    assert_eq!(foundation.events().play_parked(&BOOKS).await.unwrap(), 2);
    assert_eq!(until(&mut entries, 4).await, [2, 4]);
    foundation.events().append_batch(notes(6..=6)).await.unwrap();
    // A failure on a parked event is no failure on another event.
    assert_eq!(until(&mut entries, 6).await, [6]);
    assert_eq!(parked(&foundation).await, [4]);
    let event = foundation.events().parked(&BOOKS).await.unwrap()[0].event.id;
    assert!(foundation.events().unpark(&BOOKS, event).await.unwrap());
    assert_eq!(parked(&foundation).await, Vec::<u64>::new());
    foundation.shutdown().await;
}

#[tokio::test]
async fn an_event_is_skipped_under_a_rule_to_skip() {
    let office = Office::new([2], at_once(FailureRule::skip_after(2)));
    let (foundation, mut entries) = office.open(patient()).await;
    foundation.events().append_batch(notes(1..=3)).await.unwrap();
    assert_eq!(until(&mut entries, 3).await, [1, 2, 2, 2, 3]);
    assert_eq!(parked(&foundation).await, Vec::<u64>::new());
    foundation.shutdown().await;
}

#[tokio::test]
async fn an_event_that_is_handled_after_some_failures_is_not_parked() {
    let office = Office::new([2], at_once(FailureRule::park_after(100)));
    let (foundation, mut entries) = office.open(patient()).await;
    foundation.events().append_batch(notes(1..=3)).await.unwrap();
    assert_eq!(until(&mut entries, 2).await, [1, 2]);
    office.cannot.lock().unwrap().clear();
    until(&mut entries, 3).await;
    assert_eq!(parked(&foundation).await, Vec::<u64>::new());
    foundation.shutdown().await;
}

#[foundation::test]
async fn a_forwarding_ends_before_an_event_under_a_rule_to_stop(namespace: TestNamespace) {
    let store = namespace.events();
    store.append_batch(notes(1..=2)).await.unwrap();
    let (sender, mut entries) = unbounded_channel();
    let (books, running) = Actor::spawn(None, Desk, sender).await.unwrap();
    let rule = || spec(FailureRule::fail_after(0));
    let first = store.subscribe_durable_with(BOOKS, rule(), books.clone(), Entry).await.unwrap();
    drop(entries.recv().await);
    assert_eq!(first.ended().await, ForwardingEnd::NoAnswer);
    let second = store.subscribe_durable_with(BOOKS, rule(), books.clone(), Entry).await.unwrap();
    assert_eq!(second.ended().await, ForwardingEnd::Stopped);
    assert!(entries.is_empty(), "it was not sent again");
    books.stop(None);
    running.await.unwrap();
}

/// Forwards its messages.
struct Desk;

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Desk {
    type Msg = Entry;
    type State = UnboundedSender<Entry>;
    type Arguments = UnboundedSender<Entry>;

    async fn pre_start(&self, _: ActorRef<Entry>, to: Self::Arguments) -> Result<Self::State, ActorProcessingErr> {
        Ok(to)
    }

    async fn handle(&self, _: ActorRef<Entry>, entry: Entry, to: &mut Self::State) -> Result<(), ActorProcessingErr> {
        Ok(to.send(entry).map_err(|_| "the receiver is gone")?)
    }
}

#[foundation::test]
async fn an_actor_that_is_stopped_before_it_answers_has_not_failed_on_the_event(namespace: TestNamespace) {
    let store = namespace.events();
    store.append_batch(notes(1..=1)).await.unwrap();
    for _ in 0..3 {
        let (sender, mut entries) = unbounded_channel();
        let (books, running) = Actor::spawn(None, Desk, sender).await.unwrap();
        let rule = spec(FailureRule::fail_after(0));
        let forwarding = store.subscribe_durable_with(BOOKS, rule, books.clone(), Entry).await.unwrap();
        let entry = entries.recv().await.unwrap();
        books.stop(None);
        running.await.unwrap();
        assert_eq!(forwarding.ended().await, ForwardingEnd::NoAnswer);
        drop(entry);
    }
}

// ---- by hand ----

#[tokio::test(start_paused = true)]
async fn a_consumer_that_fails_on_an_event_gets_it_again_after_the_delay_and_then_the_next_one() {
    let foundation = Foundation::builder().start().await.unwrap();
    let store = foundation.events();
    store.append_batch(notes(1..=2)).await.unwrap();
    let rule = || spec(FailureRule::park_after(2));
    let mut books = store.subscribe_durable(BOOKS, rule()).await.unwrap();
    let start = Instant::now();
    for (seconds, verdict) in [
        (0, FailureVerdict::ShowAgain(Duration::from_secs(1))),
        (1, FailureVerdict::ShowAgain(Duration::from_secs(2))),
        (3, FailureVerdict::Park),
    ] {
        assert_eq!(books.next().await.unwrap().unwrap().id, id(1));
        assert!(start.elapsed() >= Duration::from_secs(seconds));
        assert_error!(books.fail(id(2), "another one").await, SubscriptionError::NotGivenOut { .. });
        assert_eq!(books.fail(id(1), "no\nsuch account").await.unwrap(), verdict);
    }
    let kept = store.parked(&BOOKS).await.unwrap();
    assert_eq!((kept.len(), kept[0].failures, &*kept[0].reason), (1, 3, "no\\nsuch account"));
    assert_eq!(books.next().await.unwrap().unwrap().id, id(2));
    drop(books);

    // It was not acknowledged, and is not delivered by itself all the same.
    let mut books = store.subscribe_durable(BOOKS, rule()).await.unwrap();
    assert_eq!(books.next().await.unwrap().unwrap().id, id(2));
    books.ack(id(2)).await.unwrap();
    let name = BOOKS;
    let (next, played) = futures::join!(books.next(), store.play_parked(&name));
    assert_eq!((next.unwrap().unwrap().id, played.unwrap()), (id(1), 1));
    books.ack(id(1)).await.unwrap();
    assert_eq!((store.parked(&BOOKS).await.unwrap(), books.acknowledged()), (Vec::new(), Some(id(2))));
    foundation.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bound_no_event_is_parked_and_none_is_lost() {
    let foundation = Foundation::builder().start().await.unwrap();
    let store = foundation.events();
    store.append_batch(notes(1..=2)).await.unwrap();
    let rule = at_once(FailureRule::park_after(0)).max_parked(1);
    let mut books = store.subscribe_durable(BOOKS, spec(rule)).await.unwrap();
    books.next().await.unwrap();
    assert_eq!(books.fail(id(1), "no").await.unwrap(), FailureVerdict::Park);
    for _ in 0..3 {
        assert_eq!(books.next().await.unwrap().unwrap().id, id(2));
        assert!(matches!(books.fail(id(2), "no").await.unwrap(), FailureVerdict::ShowAgain(_)));
    }
    assert!(store.unpark(&BOOKS, id(1)).await.unwrap());
    books.next().await.unwrap();
    assert_eq!(books.fail(id(2), "no").await.unwrap(), FailureVerdict::Park);
    foundation.shutdown().await;
}

#[tokio::test]
async fn an_event_that_is_not_unparked_since_the_disk_is_full_is_shown_again_as_it_was_to_be() {
    let disk = TestDisk::default();
    let foundation = Foundation::builder().events(disk.in_memory()).start().await.unwrap();
    let (store, name) = (foundation.events(), BOOKS);
    store.append_batch(notes(1..=2)).await.unwrap();
    let mut books = store.subscribe_durable(BOOKS, spec(FailureRule::park_after(0))).await.unwrap();
    books.next().await.unwrap();
    assert_eq!(books.fail(id(1), "no").await.unwrap(), FailureVerdict::Park);
    assert_eq!(store.play_parked(&name).await.unwrap(), 1);

    disk.set_full(true);
    assert_error!(store.append_batch(notes(3..=3)).await, EventStoreError::NoAnswer { .. });
    assert_error!(store.unpark(&name, id(1)).await, EventStoreError::Unavailable { .. });
    disk.set_full(false);
    store.wait_until_up(SOON).await.unwrap();
    assert_eq!(books.next().await.unwrap().unwrap().id, id(1));
    foundation.shutdown().await;
}

#[test]
fn an_event_unparked_without_an_answer_is_not_delivered_by_a_replay_that_has_read_it() {
    // With one thread for blocking work, reads are done one after the other.
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let clock = TestClock::default();
        let foundation = held_up_by(&clock).start().await.unwrap();
        let (store, name) = (foundation.events(), BOOKS);
        store.append_batch(notes(1..=1)).await.unwrap();
        let mut books = store.subscribe_durable(BOOKS, spec(FailureRule::park_after(0))).await.unwrap();
        books.next().await.unwrap();
        assert_eq!(books.fail(id(1), "no").await.unwrap(), FailureVerdict::Park);

        let (release, held) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || held.recv());
        let mut replay = pin!(store.play_parked(&name));
        assert!(poll!(&mut replay).is_pending());
        drop(release);
        drop(busy.await);
        assert_eq!(store.parked(&name).await.unwrap().len(), 1, "the replay has read it by now");
        // The writer cannot answer before its caller has gone.
        let mut held = clock.hold_next();
        store.note(notes(2..=2)).unwrap();
        held.arrival().await;
        assert_eq!(poll_and_drop(1, store.unpark(&name, id(1))).await.map(drop), None);
        drop(held);
        store.wait_until_settled().await.unwrap();
        assert_eq!(store.parked(&name).await.unwrap(), []);
        assert_eq!(replay.await.unwrap(), 0);
        assert_eq!(books.next().await.unwrap().unwrap().id, id(2));
        foundation.shutdown().await;
    });
}
