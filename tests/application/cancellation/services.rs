//! Requests to the services of a namespace: a request is done completely or not at all, and the next one is answered.

use std::io::Cursor;
use std::time::{Duration, SystemTime};

use foundation::NewEvent;
use foundation::events::{EventId, FailureRule, Query, SubscriptionName, SubscriptionSpec};
use foundation::ractor::{Actor, ActorRef};
use foundation_testkit::Pool;
use futures::FutureExt;

use super::fixture::{Fixture, LONG, NOTED, a_turn, comes_true, dropped_at_each_poll, works_again};

const BILLING: SubscriptionName = SubscriptionName::from_static("billing");

fn noted(number: u32) -> NewEvent {
    NewEvent::of(NOTED).payload(number).unwrap()
}

async fn numbers(fixture: &Fixture) -> Vec<u32> {
    let events = fixture.foundation.events().query(Query::new().kind(NOTED)).await.unwrap();
    events.iter().map(|event| event.payload_as().unwrap()).collect()
}

// covers: EventStore::append, EventStore::append_batch, EventStore::append_expecting
#[tokio::test(start_paused = true)]
async fn a_cancelled_append_is_recorded_completely_or_not_at_all() {
    let none_or_all = |numbers: Vec<u32>| {
        assert!(numbers == [0, 1, 2, 3, 4] || numbers == [0, 1, 2, 3, 4, 5, 6], "{numbers:?}");
    };
    dropped_at_each_poll(
        async |fixture| fixture.foundation.events().append_batch(vec![noted(5), noted(6)]).await,
        async |fixture, _| none_or_all(numbers(fixture).await),
    )
    .await;
    dropped_at_each_poll(
        async |fixture| {
            let at = fixture.foundation.events().position();
            fixture.foundation.events().append_expecting(at, vec![noted(5), noted(6)]).await
        },
        async |fixture, _| none_or_all(numbers(fixture).await),
    )
    .await;
    works_again(async |fixture| fixture.foundation.events().append(noted(7)).await).await;
}

// covers: EventStore::get, EventStore::query, EventStore::by_correlation, EventStore::recent, EventStore::stats
// covers: EventStore::verify, EventStore::prune_before, EventStore::chain, EventStore::wait_until_up
// covers: EventStore::wait_until_readable, EventStore::wait_until_settled, EventStore::health
#[tokio::test(start_paused = true)]
async fn a_query_of_the_event_store_may_be_cancelled() {
    let first = |fixture: &Fixture| EventId::new(fixture.foundation.events().position().unwrap().get() - 4).unwrap();
    works_again(async |fixture| fixture.foundation.events().get(first(fixture)).await).await;
    works_again(async |fixture| fixture.foundation.events().query(Query::new()).await).await;
    works_again(async |fixture| {
        let event = fixture.foundation.events().get(first(fixture)).await?.unwrap();
        fixture.foundation.events().by_correlation(event.correlation_id).await
    })
    .await;
    works_again(async |fixture| fixture.foundation.events().recent(2).await).await;
    works_again(async |fixture| fixture.foundation.events().stats().await).await;
    works_again(async |fixture| fixture.foundation.events().verify(|_| ()).await).await;
    works_again(async |fixture| fixture.foundation.events().chain(first(fixture)).await).await;
    works_again(async |fixture| fixture.foundation.events().wait_until_up(None).await).await;
    works_again(async |fixture| fixture.foundation.events().wait_until_readable(LONG).await).await;
    works_again(async |fixture| fixture.foundation.events().wait_until_settled().await).await;
    works_again(async |fixture| Ok::<_, ()>(fixture.foundation.events().health().await)).await;
    works_again(async |fixture| {
        fixture.foundation.config().update("port", 2).await.unwrap();
        fixture.foundation.events().prune_before(SystemTime::now() + Duration::from_secs(60)).await
    })
    .await;
}

// covers: EventStore::export, EventStore::import
#[tokio::test(start_paused = true)]
async fn an_export_and_an_import_may_be_cancelled_and_repeated() {
    let query = || Query::new().kind(NOTED);
    works_again(async |fixture| {
        let mut exported = Vec::new();
        fixture.foundation.events().export(query(), &mut exported, |_| ()).await
    })
    .await;
    dropped_at_each_poll(
        async |fixture| {
            let line = exported_line(fixture).await;
            fixture.foundation.events().import(Cursor::new(line), |_| ()).await.unwrap()
        },
        async |fixture, _| {
            let at = fixture.foundation.events().position();
            assert!(fixture.foundation.events().append(noted(8)).await.map(Some).unwrap() > at);
        },
    )
    .await;
}

/// One more event, as a line of an export.
async fn exported_line(fixture: &Fixture) -> Vec<u8> {
    let mut exported = Vec::new();
    fixture.foundation.events().export(Query::new().kind(NOTED), &mut exported, |_| ()).await.unwrap();
    let last = String::from_utf8(exported).unwrap().lines().last().unwrap().to_owned();
    let mut event: foundation::events::Event = serde_json::from_str(&last).unwrap();
    event.id = EventId::new(fixture.foundation.events().position().unwrap().get() + 1).unwrap();
    let event = noted(99).record(event.id, event.namespace.clone(), event.recorded_at);
    format!("{}\n", serde_json::to_string(&event).unwrap()).into_bytes()
}

// covers: EventStore::subscribe, EventStore::subscribe_durable, EventStore::forget_subscription
// covers: EventSubscription::next, DurableSubscription::next, DurableSubscription::ack
#[tokio::test(start_paused = true)]
async fn a_cancelled_subscription_withholds_nothing_from_the_next() {
    let beginning = || SubscriptionSpec::from_beginning().kind(NOTED);
    works_again(async |fixture| {
        let mut subscription = fixture.foundation.events().subscribe(beginning()).await?;
        subscription.next().await
    })
    .await;
    dropped_at_each_poll(
        async |fixture| {
            let mut billing = fixture.foundation.events().subscribe_durable(BILLING, beginning()).await.unwrap();
            let event = billing.next().await.unwrap().unwrap();
            billing.ack(event.id).await.unwrap();
        },
        async |fixture, ended| {
            let mut billing = fixture.foundation.events().subscribe_durable(BILLING, beginning()).await.unwrap();
            let number: u32 = billing.next().await.unwrap().unwrap().payload_as().unwrap();
            assert!(number == 1 || (number == 0 && ended.is_none()), "{number} after {ended:?}");
        },
    )
    .await;
    // The next call returns an event that was about to be delivered.
    dropped_at_each_poll(
        async |fixture| {
            let mut subscription = fixture.foundation.events().subscribe(SubscriptionSpec::from_now()).await.unwrap();
            for number in 5..8 {
                let _ = subscription.next().now_or_never();
                fixture.foundation.events().append(noted(number)).await.unwrap();
                assert_eq!(subscription.next().await.unwrap().unwrap().payload_as::<u32>().unwrap(), number);
            }
        },
        async |_, _| {},
    )
    .await;
    dropped_at_each_poll(
        async |fixture| {
            drop(fixture.foundation.events().subscribe_durable(BILLING, SubscriptionSpec::from_now()).await.unwrap());
            fixture.foundation.events().forget_subscription(&BILLING).await.unwrap()
        },
        async |fixture, _| {
            fixture.foundation.events().forget_subscription(&BILLING).await.unwrap();
        },
    )
    .await;
}

// covers: DurableSubscription::fail, EventStore::parked, EventStore::play_parked, EventStore::unpark
#[tokio::test(start_paused = true)]
async fn an_event_whose_parking_is_cancelled_is_delivered_again_or_parked() {
    let spec = || SubscriptionSpec::from_beginning().kind(NOTED).on_failure(FailureRule::park_after(0));
    dropped_at_each_poll(
        async |fixture| {
            let mut billing = fixture.foundation.events().subscribe_durable(BILLING, spec()).await.unwrap();
            let event = billing.next().await.unwrap().unwrap();
            billing.fail(event.id, "it cannot be read").await.unwrap();
        },
        async |fixture, _| {
            let events = fixture.foundation.events();
            let mut billing = events.subscribe_durable(BILLING, spec()).await.unwrap();
            let shown: u32 = billing.next().await.unwrap().unwrap().payload_as().unwrap();
            let parked = events.parked(&BILLING).await.unwrap().len();
            assert!(shown == 0 || parked == 1, "{shown} is shown, {parked} are parked");
        },
    )
    .await;
    let parked = async |fixture: &Fixture| {
        let mut billing = fixture.foundation.events().subscribe_durable(BILLING, spec()).await.unwrap();
        let event = billing.next().await.unwrap().unwrap();
        billing.fail(event.id, "it cannot be read").await.unwrap();
        event.id
    };
    works_again(async |fixture| {
        parked(fixture).await;
        fixture.foundation.events().parked(&BILLING).await
    })
    .await;
    works_again(async |fixture| {
        parked(fixture).await;
        fixture.foundation.events().play_parked(&BILLING).await
    })
    .await;
    works_again(async |fixture| {
        let event = parked(fixture).await;
        fixture.foundation.events().unpark(&BILLING, event).await
    })
    .await;
}

// covers: EventStore::page, EventStore::repair, EventStore::moved_aside
#[tokio::test(start_paused = true)]
async fn a_repair_may_be_cancelled_and_repeated() {
    works_again(async |fixture| fixture.foundation.events().page(Query::new()).await).await;
    works_again(async |fixture| fixture.foundation.events().repair().await).await;
    works_again(async |fixture| fixture.foundation.events().moved_aside(10).await).await;
}

enum Item {
    Event(foundation::ractor::RpcReplyPort<()>),
}
foundation::local_message!(Item);

struct Reader;

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Reader {
    type Msg = Item;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Item>, (): ()) -> Result<(), foundation::ractor::ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Item>,
        Item::Event(answer): Item,
        (): &mut (),
    ) -> Result<(), foundation::ractor::ActorProcessingErr> {
        Ok(answer.send(())?)
    }
}

// covers: EventStore::subscribe_with, EventStore::subscribe_durable_with, Forwarding::ended
#[tokio::test(start_paused = true)]
async fn a_cancelled_forwarding_forwards_nothing() {
    for durable in [false, true] {
        dropped_at_each_poll(
            async |fixture| {
                let key = foundation::ServiceKey::from_static("reader");
                let reader = fixture.services().spawn(&key, Reader, ()).await.unwrap();
                let (events, spec) = (fixture.foundation.events(), SubscriptionSpec::from_beginning());
                let forwarding = match durable {
                    false => events.subscribe_with(spec, reader.clone(), |_, answer| Item::Event(answer)).await,
                    true => {
                        events
                            .subscribe_durable_with(BILLING, spec, reader.clone(), |_, answer| Item::Event(answer))
                            .await
                    }
                };
                reader.stop(None);
                forwarding.unwrap().ended().await
            },
            async |fixture, _| {
                // Its place is free at the latest when its task has seen that its handle is dropped.
                let subscribed = async || {
                    fixture.foundation.events().subscribe_durable(BILLING, SubscriptionSpec::from_beginning()).await
                };
                assert!(comes_true(async || subscribed().await.is_ok()).await, "it still has a consumer");
            },
        )
        .await;
    }
}

// covers: ConfigServer::update, ConfigServer::reset, ConfigServer::transaction, ConfigServer::reset_all
// covers: ConfigServer::history, ConfigServer::rollback, ConfigServer::reload, ConfigServer::status
// covers: ConfigServer::wait_until_up, ConfigServer::health
#[tokio::test(start_paused = true)]
async fn a_cancelled_configuration_change_is_made_and_recorded_or_neither() {
    dropped_at_each_poll(
        async |fixture| fixture.foundation.config().update("port", 2).await.map(drop),
        async |fixture, _| {
            // A pending change is decided before this request.
            fixture.foundation.config().status().await.unwrap();
            let port: u16 = fixture.foundation.config().get("port").unwrap();
            let recorded = fixture.foundation.config().history("port").await.unwrap().len();
            assert_eq!(usize::from(port == 2), recorded);
            fixture.foundation.config().update("port", 3).await.unwrap();
            assert_eq!(fixture.foundation.config().get::<u16>("port").unwrap(), 3);
        },
    )
    .await;
    works_again(async |fixture| fixture.foundation.config().reset("port").await).await;
    works_again(async |fixture| fixture.foundation.config().transaction(|changes| changes.set("port", 4)).await).await;
    works_again(async |fixture| fixture.foundation.config().reset_all().await).await;
    works_again(async |fixture| fixture.foundation.config().history("port").await).await;
    works_again(async |fixture| {
        fixture.foundation.config().update("port", 5).await?;
        let first = fixture.foundation.config().history("port").await?[0].event;
        fixture.foundation.config().update("port", 6).await?;
        fixture.foundation.config().rollback(first).await
    })
    .await;
    works_again(async |fixture| fixture.foundation.config().reload().await).await;
    works_again(async |fixture| fixture.foundation.config().status().await).await;
    works_again(async |fixture| fixture.foundation.config().wait_until_up(None).await).await;
    works_again(async |fixture| Ok::<_, ()>(fixture.foundation.config().health().await)).await;
}

// covers: ConfigSubscription::next, SectionSubscription::next
#[tokio::test(start_paused = true)]
async fn a_change_that_a_cancelled_call_missed_is_returned_by_the_next_call() {
    dropped_at_each_poll(
        async |fixture| {
            let mut changes = fixture.foundation.config().subscribe("port").unwrap();
            for port in 2..5 {
                let _ = changes.next().now_or_never();
                fixture.foundation.config().update("port", port).await.unwrap();
                assert!(changes.next().await.unwrap().is_some());
            }
        },
        async |fixture, _| drop(fixture.foundation.config().update("port", 9).await.unwrap()),
    )
    .await;
    dropped_at_each_poll(
        async |fixture| {
            let mut changes = fixture.foundation.config().subscribe_section::<Pool>().unwrap();
            for max in 5..8 {
                let _ = changes.next().now_or_never();
                fixture.foundation.config().update("pool.max", max).await.unwrap();
                assert_eq!(changes.next().await.unwrap().unwrap().new.max, max);
            }
        },
        async |fixture, _| drop(fixture.foundation.config().update("pool.max", 9).await.unwrap()),
    )
    .await;
}

// covers: Telemetry::measure, Telemetry::tick, Telemetry::wait_until_up, Telemetry::health
#[tokio::test(start_paused = true)]
async fn requests_to_telemetry_may_be_cancelled() {
    works_again(async |fixture| fixture.foundation.telemetry().tick().await).await;
    works_again(async |fixture| fixture.foundation.telemetry().wait_until_up(None).await).await;
    works_again(async |fixture| Ok::<_, ()>(fixture.foundation.telemetry().health().await)).await;
    works_again(async |fixture| {
        let work = tokio::time::timeout(LONG, a_turn());
        fixture.foundation.telemetry().measure("work", work).await
    })
    .await;
}
