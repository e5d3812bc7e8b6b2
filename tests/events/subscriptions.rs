//! Subscriptions of the event store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foundation::events::{
    Event, EventId, EventKind, EventStoreError, EventSubscription, ForwardingEnd, SubscriptionError, SubscriptionName,
    SubscriptionSpec,
};
use foundation::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation::{EventStore, Foundation, NewEvent, ServiceKey, TestNamespace};
use foundation_testkit::{TestClock, assert_error, at, crash, until};
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const BILLING: SubscriptionName = SubscriptionName::from_static("billing");
const TICKED: EventKind = EventKind::from_static("ticked");
const TOCKED: EventKind = EventKind::from_static("tocked");

fn id(number: u64) -> EventId {
    EventId::new(number).unwrap()
}

/// Appends this many events: those with odd ids tick, the others tock.
async fn append(store: &EventStore, count: u64) {
    let recorded = store.stats().await.unwrap().recorded;
    let kind = |number: u64| if number % 2 == 1 { TICKED } else { TOCKED };
    store.append_batch((recorded..recorded + count).map(|n| NewEvent::of(kind(n + 1))).collect()).await.unwrap();
}

/// The next ids of ticks and tocks, this many; reports of supervisors are skipped.
async fn next(subscription: &mut EventSubscription, count: usize) -> Vec<u64> {
    let events = subscription.by_ref().map(Result::unwrap);
    let ours = events.filter(|event| std::future::ready([TICKED, TOCKED].contains(&event.kind)));
    ours.map(|event| event.id.get()).take(count).collect().await
}

fn is_idle(subscription: &mut EventSubscription) -> bool {
    subscription.next().now_or_never().is_none()
}

// ---- the start position ----

#[foundation::test]
async fn a_subscription_from_the_beginning_catches_up_and_continues_live(namespace: TestNamespace) {
    let store = namespace.events();
    append(store, 3).await;
    let mut all = store.subscribe(SubscriptionSpec::from_beginning()).await.unwrap();
    assert_eq!((next(&mut all, 3).await, all.position()), (vec![1, 2, 3], Some(id(3))));
    assert!(is_idle(&mut all));
    append(store, 2).await;
    assert_eq!(next(&mut all, 2).await, [4, 5]);
}

#[foundation::test]
async fn a_subscription_after_an_event_begins_with_the_one_that_follows(namespace: TestNamespace) {
    let store = namespace.events();
    append(store, 3).await;
    let mut rest = store.subscribe(SubscriptionSpec::after(id(2))).await.unwrap();
    assert_eq!(next(&mut rest, 1).await, [3]);
}

#[foundation::test]
async fn a_subscription_from_now_delivers_no_earlier_event(namespace: TestNamespace) {
    let store = namespace.events();
    append(store, 3).await;
    let mut new = store.subscribe(SubscriptionSpec::from_now()).await.unwrap();
    assert!(is_idle(&mut new));
    append(store, 1).await;
    assert_eq!(next(&mut new, 1).await, [4]);
}

#[foundation::test]
async fn a_subscription_after_a_future_id_waits_for_the_event_that_follows_it(namespace: TestNamespace) {
    let store = namespace.events();
    let mut late = store.subscribe(SubscriptionSpec::after(id(4))).await.unwrap();
    append(store, 4).await;
    assert!(is_idle(&mut late));
    append(store, 1).await;
    assert_eq!(next(&mut late, 1).await, [5]);
}

#[foundation::test]
async fn a_subscription_delivers_only_its_kinds(namespace: TestNamespace) {
    let store = namespace.events();
    append(store, 1_000).await;
    let mut ticks = store.subscribe(SubscriptionSpec::from_beginning().kind(TICKED)).await.unwrap();
    let odd: Vec<u64> = (1..1_000).step_by(2).collect();
    assert_eq!(next(&mut ticks, 500).await, odd);
    append(store, 3).await;
    assert_eq!(next(&mut ticks, 2).await, [1_001, 1_003]);
    assert!(is_idle(&mut ticks));
}

// ---- slow ones ----

#[foundation::test]
async fn the_position_of_a_subscription_is_the_last_delivered_event_and_not_a_buffered_one(namespace: TestNamespace) {
    append(namespace.events(), 3).await;
    let mut subscription = namespace.events().subscribe(SubscriptionSpec::from_beginning()).await.unwrap();
    for shown in 1..=3 {
        next(&mut subscription, 1).await;
        assert_eq!(subscription.position(), Some(id(shown)));
    }
}

/// Events of another store, as it exports them.
async fn exported(count: u64) -> Vec<u8> {
    let other = foundation::Foundation::builder().start().await.unwrap();
    append(other.events(), count).await;
    let mut lines = Vec::new();
    other.events().export(foundation::events::Query::new(), &mut lines, |_| ()).await.unwrap();
    other.shutdown().await;
    lines
}

#[foundation::test]
async fn imported_events_are_delivered_to_subscribers_from_a_position(namespace: TestNamespace) {
    let lines = exported(3).await;
    let mut subscription = namespace.events().subscribe(SubscriptionSpec::from_beginning()).await.unwrap();
    let (shown, imported) = futures::join!(next(&mut subscription, 3), namespace.events().import(&lines[..], |_| ()));
    assert_eq!((shown, imported.unwrap()), (vec![1, 2, 3], 3));
    append(namespace.events(), 1).await;
    assert_eq!(next(&mut subscription, 1).await, [4]);
}

#[foundation::test]
async fn imported_events_are_not_delivered_to_subscribers_from_now(namespace: TestNamespace) {
    let store = namespace.events();
    let mut live = store.subscribe(SubscriptionSpec::from_now()).await.unwrap();
    let mut ticks = store.subscribe(SubscriptionSpec::from_now().kind(TICKED)).await.unwrap();
    let mut durable = store.subscribe_durable(BILLING, SubscriptionSpec::from_now()).await.unwrap();
    store.import(&exported(1_000).await[..], |_| ()).await.unwrap();
    assert!(is_idle(&mut live) && is_idle(&mut ticks));
    // A slow one has more to read than the store keeps in memory, before an import and after it.
    let mut slow = store.subscribe(SubscriptionSpec::from_now()).await.unwrap();
    append(store, 3_000).await;
    assert_eq!(next(&mut live, 3_000).await, (1_001..=4_000).collect::<Vec<_>>());
    assert_eq!(next(&mut ticks, 1_500).await, (1_001..=4_000).step_by(2).collect::<Vec<_>>());
    assert_eq!(next(&mut slow, 3_000).await, (1_001..=4_000).collect::<Vec<_>>());
    assert_eq!(durable.next().await.unwrap().unwrap().id, id(1_001));
}

/// Each opening finds an empty log, as after its file was moved away.
#[tokio::test]
async fn a_log_that_is_empty_after_a_restart_is_refused_and_no_id_is_given_twice() {
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let storage = foundation::events::EventStorage::with(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(foundation::events::MemoryLog::new("production"))
    });
    let foundation = foundation::Foundation::builder().test_events(storage).start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let store = namespace.events().clone();
    append(&store, 20).await;
    namespace.kill(&EventStore::NAME).await.unwrap();
    until("the second log", async || opened.load(Ordering::SeqCst) >= 2).await;
    assert_error!(store.append(NewEvent::of(TICKED)).await, EventStoreError::Unavailable { .. });
    assert_eq!(store.position(), Some(id(20)));
    foundation.shutdown().await;
}

#[foundation::test]
async fn a_slow_subscriber_delays_no_other_and_loses_nothing(namespace: TestNamespace) {
    let store = namespace.events();
    let mut slow = store.subscribe(SubscriptionSpec::from_beginning()).await.unwrap();
    append(store, 1).await;
    assert_eq!(next(&mut slow, 1).await, [1]);
    for _ in 0..10 {
        append(store, 500).await;
    }
    assert_eq!(next(&mut slow, 5_000).await, (2..=5_001).collect::<Vec<_>>());
    assert!(is_idle(&mut slow));
}

#[tokio::test]
async fn events_that_were_pruned_before_they_were_read_are_reported() {
    let clock = TestClock::default();
    let foundation = Foundation::builder().clock(clock.read()).start().await.unwrap();
    let store = foundation.events();
    append(store, 3).await;
    clock.set(10);
    append(store, 2).await;
    store.prune_before(at(10)).await.unwrap();
    let mut all = store.subscribe(SubscriptionSpec::from_beginning().kind(TOCKED)).await.unwrap();
    let missed = all.next().await.unwrap_err();
    assert!(matches!(missed, SubscriptionError::Missed { from, to } if (from, to) == (id(1), id(3))));
    assert_eq!(missed.to_string(), "events 1 to 3 were pruned before the subscription had read them");
    assert_eq!(next(&mut all, 1).await, [4]);
    store.prune_before(at(100)).await.unwrap();
    assert!(is_idle(&mut all), "what was passed over is not missed");
    foundation.shutdown().await;
}

#[foundation::test]
async fn a_wait_that_is_cancelled_loses_nothing(namespace: TestNamespace) {
    let store = namespace.events();
    append(store, 2_000).await;
    let mut all = store.subscribe(SubscriptionSpec::from_beginning()).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2_000 {
        // Either it is at hand, or the wait is cancelled at once, with its read of the log.
        match all.next().now_or_never() {
            Some(event) => seen.push(event.unwrap().unwrap().id.get()),
            None => tokio::task::yield_now().await,
        }
    }
    assert_eq!(seen, (1..=2_000).collect::<Vec<_>>());
}

// ---- restarts and ends ----

#[foundation::test]
async fn fnd_7_subscribers_of_events_survive_a_restart_of_the_store(namespace: TestNamespace) {
    let store = namespace.events();
    append(store, 1_500).await;
    let mut live = store.subscribe(SubscriptionSpec::from_now()).await.unwrap();
    let mut behind = store.subscribe(SubscriptionSpec::from_beginning()).await.unwrap();
    assert_eq!(next(&mut behind, 1).await, [1]);
    assert!(is_idle(&mut live));
    crash(&namespace, &EventStore::NAME).await;
    let recorded = store.append(NewEvent::of(TICKED)).await.unwrap();
    assert_eq!(next(&mut live, 1).await, [recorded.get()]);
    let rest: Vec<u64> = (2..=1_500).chain([recorded.get()]).collect();
    assert_eq!(next(&mut behind, rest.len()).await, rest);
}

#[tokio::test]
async fn a_subscription_ends_with_its_namespace_after_it_has_delivered_the_remaining_events() {
    let foundation = Foundation::builder().start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let store = namespace.events().clone();
    let mut all = store.subscribe(SubscriptionSpec::from_beginning()).await.unwrap();
    let waiting = tokio::spawn({
        let mut waiting = store.subscribe(SubscriptionSpec::from_now().kind(TOCKED)).await.unwrap();
        async move { waiting.next().await.unwrap() }
    });
    append(&store, 1).await;
    namespace.cleanup().await.unwrap();
    assert_eq!(waiting.await.unwrap(), None);
    assert_eq!(all.next().await.unwrap().unwrap().id, id(1));
    while let Some(event) = all.next().await.unwrap() {
        assert_ne!(event.kind, TICKED);
    }
    assert_eq!(all.next().await.unwrap(), None);
    foundation.shutdown().await;
}

// ---- durable ones ----

#[foundation::test]
async fn a_durable_subscription_continues_after_the_acknowledged_events(namespace: TestNamespace) {
    let store = namespace.events();
    append(store, 4).await;
    let spec = SubscriptionSpec::from_beginning;
    let mut first = store.subscribe_durable(BILLING, spec()).await.unwrap();
    for expected in 1..=3 {
        assert_eq!(first.next().await.unwrap().unwrap().id, id(expected));
    }
    first.ack(id(2)).await.unwrap();
    first.ack(id(1)).await.unwrap();
    assert_eq!(first.acknowledged(), Some(id(2)));
    drop(first);
    crash(&namespace, &EventStore::NAME).await;

    let mut second = store.subscribe_durable(BILLING, spec().kinds([TICKED, TOCKED])).await.unwrap();
    assert_eq!((second.acknowledged(), second.name()), (Some(id(2)), &BILLING));
    assert_eq!(second.next().await.unwrap().unwrap().id, id(3), "it was shown, and not acknowledged");
    assert_eq!(second.next().await.unwrap().unwrap().id, id(4));
}

#[foundation::test]
async fn a_durable_subscription_from_now_remembers_its_start(namespace: TestNamespace) {
    let store = namespace.events();
    append(store, 2).await;
    drop(store.subscribe_durable(BILLING, SubscriptionSpec::from_now()).await.unwrap());
    append(store, 2).await;
    let mut again = store.subscribe_durable(BILLING, SubscriptionSpec::from_now()).await.unwrap();
    assert_eq!(again.next().await.unwrap().unwrap().id, id(3));
}

#[foundation::test]
async fn a_durable_subscription_has_one_consumer_at_a_time(namespace: TestNamespace) {
    let store = namespace.events();
    let spec = || SubscriptionSpec::from_beginning().consumer("the first clerk");
    let first = store.subscribe_durable(BILLING, spec()).await.unwrap();
    let refused = store.subscribe_durable(BILLING, spec()).await.unwrap_err();
    let expected = "the durable subscription billing has a consumer already: the first clerk";
    assert_eq!(refused.to_string(), expected);
    assert_eq!(store.forget_subscription(&BILLING).await.unwrap_err().to_string(), expected);
    drop(first);
    drop(store.subscribe_durable(BILLING, spec()).await.unwrap());
}

#[foundation::test]
async fn only_delivered_events_can_be_acknowledged(namespace: TestNamespace) {
    let store = namespace.events();
    append(store, 3).await;
    let mut billing = store.subscribe_durable(BILLING, SubscriptionSpec::from_beginning()).await.unwrap();
    let early = billing.ack(id(1)).await.unwrap_err().to_string();
    assert_eq!(early, "event 1 cannot be acknowledged by the subscription billing, which has come to no event yet");
    billing.next().await.unwrap();
    let early = billing.ack(id(2)).await.unwrap_err().to_string();
    assert_eq!(early, "event 2 cannot be acknowledged by the subscription billing, which has come to event 1 only");
    billing.ack(id(1)).await.unwrap();
}

#[foundation::test]
async fn a_forgotten_subscription_begins_anew(namespace: TestNamespace) {
    let store = namespace.events();
    append(store, 2).await;
    let mut billing = store.subscribe_durable(BILLING, SubscriptionSpec::from_beginning()).await.unwrap();
    billing.next().await.unwrap();
    billing.ack(id(1)).await.unwrap();
    drop(billing);
    assert!(store.forget_subscription(&BILLING).await.unwrap());
    assert!(!store.forget_subscription(&BILLING).await.unwrap());
    let mut billing = store.subscribe_durable(BILLING, SubscriptionSpec::from_beginning()).await.unwrap();
    assert_eq!(billing.next().await.unwrap().unwrap().id, id(1));
}

// ---- forwarded to an actor ----

const LEDGER: ServiceKey<LedgerMsg> = ServiceKey::from_static("ledger");

/// Forwards its messages, and answers on request.
struct Ledger;

struct LedgerMsg(Result<Arc<Event>, SubscriptionError>, RpcReplyPort<()>);
foundation::local_message!(LedgerMsg);

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Ledger {
    type Msg = LedgerMsg;
    type State = UnboundedSender<(u64, RpcReplyPort<()>)>;
    type Arguments = UnboundedSender<(u64, RpcReplyPort<()>)>;

    async fn pre_start(
        &self,
        _: ActorRef<LedgerMsg>,
        entries: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(entries)
    }

    async fn handle(
        &self,
        _: ActorRef<LedgerMsg>,
        LedgerMsg(event, answer): LedgerMsg,
        entries: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        entries.send((event?.id.get(), answer))?;
        Ok(())
    }
}

async fn ledger(namespace: &TestNamespace) -> (ActorRef<LedgerMsg>, UnboundedReceiver<(u64, RpcReplyPort<()>)>) {
    let (sender, entries) = unbounded_channel();
    (namespace.services().spawn(&LEDGER, Ledger, sender).await.unwrap(), entries)
}

#[foundation::test]
async fn an_actor_is_sent_the_next_event_when_it_has_answered(namespace: TestNamespace) {
    let store = namespace.events();
    append(store, 2).await;
    let (ledger, mut entries) = ledger(&namespace).await;
    let spec = SubscriptionSpec::from_beginning().kinds([TICKED, TOCKED]);
    let forwarding = store.subscribe_with(spec, ledger.clone(), LedgerMsg).await.unwrap();
    let (first, answer) = entries.recv().await.unwrap();
    // Every ready task has its turn: nothing more is sent.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!((first, entries.is_empty()), (1, true));
    answer.send(()).unwrap();
    let (second, answer) = entries.recv().await.unwrap();
    assert_eq!(second, 2);
    answer.send(()).unwrap();
    // It ends with the actor, also while there is nothing to send.
    ledger.stop(None);
    assert_eq!(forwarding.ended().await, ForwardingEnd::NoAnswer);
}

#[foundation::test]
async fn an_event_that_an_actor_has_answered_is_acknowledged_for_it(namespace: TestNamespace) {
    let store = namespace.events();
    append(store, 70).await;
    let spec = || SubscriptionSpec::from_beginning().kinds([TICKED, TOCKED]);
    let (first, mut entries) = ledger(&namespace).await;
    let forwarding = store.subscribe_durable_with(BILLING, spec(), first.clone(), LedgerMsg).await.unwrap();
    for expected in 1..70 {
        let (event, answer) = entries.recv().await.unwrap();
        assert_eq!(event, expected);
        answer.send(()).unwrap();
    }
    let (unanswered, answer) = entries.recv().await.unwrap();
    drop(answer);
    assert_eq!((unanswered, forwarding.ended().await), (70, ForwardingEnd::NoAnswer));

    let rest = store.subscribe_durable(BILLING, spec()).await.unwrap();
    assert_eq!(rest.acknowledged(), Some(id(69)));
}

#[tokio::test]
async fn a_forwarding_ends_with_its_namespace_and_when_it_is_dropped() {
    let foundation = Foundation::builder().start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let (sender, _entries) = unbounded_channel();
    let (elsewhere, running) = Actor::spawn(None, Ledger, sender).await.unwrap();
    let spec = || SubscriptionSpec::from_now().kind(TICKED);
    let store = namespace.events();
    let forwarding = store.subscribe_with(spec(), elsewhere.clone(), LedgerMsg).await.unwrap();
    let dropped = store.subscribe_durable_with(BILLING, spec(), elsewhere.clone(), LedgerMsg).await.unwrap();
    drop(dropped);
    // Its task releases the name when it is gone, which is soon.
    until("the name is free", async || store.subscribe_durable(BILLING, spec()).await.is_ok()).await;
    namespace.cleanup().await.unwrap();
    assert_eq!(forwarding.ended().await, ForwardingEnd::NamespaceEnded);
    elsewhere.stop(None);
    running.await.unwrap();
    foundation.shutdown().await;
}

// ---- concurrent ----

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_subscriber_sees_every_event_once_and_in_order_while_sixteen_append() {
    const PRODUCERS: u64 = 16;
    const EACH: u64 = 200;
    let foundation = Foundation::builder().start().await.unwrap();
    let store = foundation.events();
    let spec = || SubscriptionSpec::from_beginning().kinds([TICKED, TOCKED]);
    let all = (PRODUCERS * EACH) as usize;
    let mut readers = Vec::new();
    for (kind, count) in [(None, all), (None, all), (Some(TICKED), all / 2), (Some(TOCKED), all / 2)] {
        let spec = kind.map_or_else(spec, |kind| SubscriptionSpec::from_beginning().kind(kind));
        readers.push(tokio::spawn(read(store.subscribe(spec).await.unwrap(), count)));
    }
    let mut slow = store.subscribe(spec()).await.unwrap();
    let producers = (0..PRODUCERS).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 0..EACH {
                store.append(NewEvent::of(if number % 2 == 0 { TICKED } else { TOCKED })).await.unwrap();
            }
        })
    });
    for producer in producers.collect::<Vec<_>>() {
        producer.await.unwrap();
    }
    let last = store.stats().await.unwrap().recorded;
    // The slow one begins when all is recorded.
    let seen = next(&mut slow, all).await;
    assert!(seen.is_sorted_by(|one, other| one < other) && seen.last() <= Some(&last));
    let mut subscriptions = Vec::new();
    for reader in readers {
        subscriptions.push(reader.await.unwrap());
    }
    assert!(subscriptions.iter_mut().all(is_idle));
    foundation.shutdown().await;
    for mut subscription in subscriptions {
        assert!(subscription.next().await.unwrap().is_none());
    }
}

/// Reads this many events, which come in order, and returns the subscription.
async fn read(mut subscription: EventSubscription, count: usize) -> EventSubscription {
    let mut last = None;
    for _ in 0..count {
        let event = subscription.next().await.unwrap().unwrap();
        assert!(Some(event.id) > last);
        last = Some(event.id);
    }
    subscription
}
