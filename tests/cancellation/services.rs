//! Requests to the services of a namespace: a request is done completely or not at all, and the next one is answered.

use std::io::Cursor;
use std::time::{Duration, SystemTime};

use foundation::ractor::{Actor, ActorRef};
use foundation::{EventId, FailureRule, NewEvent, Query, SubscriptionName, SubscriptionSpec};
use futures::FutureExt;

use super::scene::{LONG, NOTED, Scene, a_turn, comes_true, dropped_at_each_poll, works_again};

const BILLING: SubscriptionName = SubscriptionName::from_static("billing");

fn noted(number: u32) -> NewEvent {
    NewEvent::of(NOTED).payload(number).unwrap()
}

async fn numbers(scene: &Scene) -> Vec<u32> {
    let events = scene.foundation.events().query(Query::new().kind(NOTED)).await.unwrap();
    events.iter().map(|event| event.payload_as().unwrap()).collect()
}

// covers: foundation/src/events/client.rs append, foundation/src/events/client.rs append_batch, foundation/src/events/client.rs append_expecting
#[tokio::test(start_paused = true)]
async fn a_cancelled_append_is_recorded_completely_or_not_at_all() {
    let none_or_all = |numbers: Vec<u32>| {
        assert!(numbers == [0, 1, 2, 3, 4] || numbers == [0, 1, 2, 3, 4, 5, 6], "{numbers:?}");
    };
    dropped_at_each_poll(
        async |scene| scene.foundation.events().append_batch(vec![noted(5), noted(6)]).await,
        async |scene, _| none_or_all(numbers(scene).await),
    )
    .await;
    dropped_at_each_poll(
        async |scene| {
            let at = scene.foundation.events().position();
            scene.foundation.events().append_expecting(at, vec![noted(5), noted(6)]).await
        },
        async |scene, _| none_or_all(numbers(scene).await),
    )
    .await;
    works_again(async |scene| scene.foundation.events().append(noted(7)).await).await;
}

// covers: foundation/src/events/reading.rs get, foundation/src/events/reading.rs query, foundation/src/events/reading.rs by_correlation, foundation/src/events/reading.rs recent, foundation/src/events/reading.rs stats, foundation/src/events/reading.rs verify, foundation/src/events/reading.rs prune_before, foundation/src/events/causes.rs chain, foundation/src/events/client.rs wait_until_up
#[tokio::test(start_paused = true)]
async fn a_query_of_the_event_store_may_be_cancelled() {
    let first = |scene: &Scene| EventId::new(scene.foundation.events().position().unwrap().get() - 4).unwrap();
    works_again(async |scene| scene.foundation.events().get(first(scene)).await).await;
    works_again(async |scene| scene.foundation.events().query(Query::new()).await).await;
    works_again(async |scene| {
        let event = scene.foundation.events().get(first(scene)).await?.unwrap();
        scene.foundation.events().by_correlation(event.correlation_id).await
    })
    .await;
    works_again(async |scene| scene.foundation.events().recent(2).await).await;
    works_again(async |scene| scene.foundation.events().stats().await).await;
    works_again(async |scene| scene.foundation.events().verify(|_| ()).await).await;
    works_again(async |scene| scene.foundation.events().chain(first(scene)).await).await;
    works_again(async |scene| scene.foundation.events().wait_until_up(None).await).await;
    works_again(async |scene| {
        scene.foundation.config().update("port", 2).await.unwrap();
        scene.foundation.events().prune_before(SystemTime::now() + Duration::from_secs(60)).await
    })
    .await;
}

// covers: foundation/src/events/transfer.rs export, foundation/src/events/transfer.rs import
#[tokio::test(start_paused = true)]
async fn an_export_and_an_import_may_be_cancelled_and_repeated() {
    let query = || Query::new().kind(NOTED);
    works_again(async |scene| {
        let mut exported = Vec::new();
        scene.foundation.events().export(query(), &mut exported, |_| ()).await
    })
    .await;
    dropped_at_each_poll(
        async |scene| {
            let line = exported_line(scene).await;
            scene.foundation.events().import(Cursor::new(line), |_| ()).await.unwrap()
        },
        async |scene, _| {
            let at = scene.foundation.events().position();
            assert!(scene.foundation.events().append(noted(8)).await.map(Some).unwrap() > at);
        },
    )
    .await;
}

/// One more event, as a line of an export.
async fn exported_line(scene: &Scene) -> Vec<u8> {
    let mut exported = Vec::new();
    scene.foundation.events().export(Query::new().kind(NOTED), &mut exported, |_| ()).await.unwrap();
    let last = String::from_utf8(exported).unwrap().lines().last().unwrap().to_owned();
    let mut event: foundation::Event = serde_json::from_str(&last).unwrap();
    event.id = EventId::new(scene.foundation.events().position().unwrap().get() + 1).unwrap();
    let event = noted(99).record(event.id, event.namespace.clone(), event.recorded_at);
    format!("{}\n", serde_json::to_string(&event).unwrap()).into_bytes()
}

// covers: foundation/src/events/subscribing.rs subscribe, foundation/src/events/subscribing.rs subscribe_durable, foundation/src/events/subscribing.rs forget_subscription, foundation/src/events/subscription.rs next, foundation/src/events/durable_subscription.rs next, foundation/src/events/durable_subscription.rs ack
#[tokio::test(start_paused = true)]
async fn a_cancelled_subscription_withholds_nothing_from_the_next() {
    let beginning = || SubscriptionSpec::from_beginning().kind(NOTED);
    works_again(async |scene| {
        let mut subscription = scene.foundation.events().subscribe(beginning()).await?;
        subscription.next().await
    })
    .await;
    dropped_at_each_poll(
        async |scene| {
            let mut billing = scene.foundation.events().subscribe_durable(BILLING, beginning()).await.unwrap();
            let event = billing.next().await.unwrap().unwrap();
            billing.ack(event.id).await.unwrap();
        },
        async |scene, ended| {
            let mut billing = scene.foundation.events().subscribe_durable(BILLING, beginning()).await.unwrap();
            let number: u32 = billing.next().await.unwrap().unwrap().payload_as().unwrap();
            assert!(number == 1 || (number == 0 && ended.is_none()), "{number} after {ended:?}");
        },
    )
    .await;
    // The next call returns an event that was about to be delivered.
    dropped_at_each_poll(
        async |scene| {
            let mut subscription = scene.foundation.events().subscribe(SubscriptionSpec::from_now()).await.unwrap();
            for number in 5..8 {
                let _ = subscription.next().now_or_never();
                scene.foundation.events().append(noted(number)).await.unwrap();
                assert_eq!(subscription.next().await.unwrap().unwrap().payload_as::<u32>().unwrap(), number);
            }
        },
        async |_, _| {},
    )
    .await;
    dropped_at_each_poll(
        async |scene| {
            drop(scene.foundation.events().subscribe_durable(BILLING, SubscriptionSpec::from_now()).await.unwrap());
            scene.foundation.events().forget_subscription(&BILLING).await.unwrap()
        },
        async |scene, _| {
            scene.foundation.events().forget_subscription(&BILLING).await.unwrap();
        },
    )
    .await;
}

// covers: foundation/src/events/durable_subscription.rs fail, foundation/src/events/subscribing.rs parked, foundation/src/events/subscribing.rs play_parked, foundation/src/events/subscribing.rs unpark
#[tokio::test(start_paused = true)]
async fn an_event_whose_parking_is_cancelled_is_delivered_again_or_parked() {
    let spec = || SubscriptionSpec::from_beginning().kind(NOTED).on_failure(FailureRule::park_after(0));
    dropped_at_each_poll(
        async |scene| {
            let mut billing = scene.foundation.events().subscribe_durable(BILLING, spec()).await.unwrap();
            let event = billing.next().await.unwrap().unwrap();
            billing.fail(event.id, "it cannot be read").await.unwrap();
        },
        async |scene, _| {
            let events = scene.foundation.events();
            let mut billing = events.subscribe_durable(BILLING, spec()).await.unwrap();
            let shown: u32 = billing.next().await.unwrap().unwrap().payload_as().unwrap();
            let parked = events.parked(&BILLING).await.unwrap().len();
            assert!(shown == 0 || parked == 1, "{shown} is shown, {parked} are parked");
        },
    )
    .await;
    let parked = async |scene: &Scene| {
        let mut billing = scene.foundation.events().subscribe_durable(BILLING, spec()).await.unwrap();
        let event = billing.next().await.unwrap().unwrap();
        billing.fail(event.id, "it cannot be read").await.unwrap();
        event.id
    };
    works_again(async |scene| {
        parked(scene).await;
        scene.foundation.events().parked(&BILLING).await
    })
    .await;
    works_again(async |scene| {
        parked(scene).await;
        scene.foundation.events().play_parked(&BILLING).await
    })
    .await;
    works_again(async |scene| {
        let event = parked(scene).await;
        scene.foundation.events().unpark(&BILLING, event).await
    })
    .await;
}

// covers: foundation/src/events/reading.rs page, foundation/src/events/reading.rs repair, foundation/src/events/reading.rs moved_aside
#[tokio::test(start_paused = true)]
async fn a_repair_may_be_cancelled_and_repeated() {
    works_again(async |scene| scene.foundation.events().page(Query::new()).await).await;
    works_again(async |scene| scene.foundation.events().repair().await).await;
    works_again(async |scene| scene.foundation.events().moved_aside(10).await).await;
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

// covers: foundation/src/events/subscribing.rs subscribe_with, foundation/src/events/subscribing.rs subscribe_durable_with, foundation/src/events/forwarding.rs ended
#[tokio::test(start_paused = true)]
async fn a_cancelled_forwarding_forwards_nothing() {
    for durable in [false, true] {
        dropped_at_each_poll(
            async |scene| {
                let key = foundation::ServiceKey::new("reader");
                let reader = scene.services().spawn(&key, Reader, ()).await.unwrap();
                let (events, spec) = (scene.foundation.events(), SubscriptionSpec::from_beginning());
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
            async |scene, _| {
                // Its place is free at the latest when its task has seen that its handle is dropped.
                let subscribed = async || {
                    scene.foundation.events().subscribe_durable(BILLING, SubscriptionSpec::from_beginning()).await
                };
                assert!(comes_true(async || subscribed().await.is_ok()).await, "it still has a consumer");
            },
        )
        .await;
    }
}

// covers: foundation/src/config/client.rs update, foundation/src/config/client.rs reset, foundation/src/config/client.rs transaction, foundation/src/config/client.rs reset_all, foundation/src/config/client.rs history, foundation/src/config/client.rs rollback, foundation/src/config/client.rs reload, foundation/src/config/client.rs status, foundation/src/config/client.rs wait_until_up
#[tokio::test(start_paused = true)]
async fn a_cancelled_configuration_change_is_made_and_recorded_or_neither() {
    dropped_at_each_poll(
        async |scene| scene.foundation.config().update("port", 2).await.map(drop),
        async |scene, _| {
            // A pending change is decided before this request.
            scene.foundation.config().status().await.unwrap();
            let port: u16 = scene.foundation.config().get("port").unwrap();
            let recorded = scene.foundation.config().history("port").await.unwrap().len();
            assert_eq!(usize::from(port == 2), recorded);
            scene.foundation.config().update("port", 3).await.unwrap();
            assert_eq!(scene.foundation.config().get::<u16>("port").unwrap(), 3);
        },
    )
    .await;
    works_again(async |scene| scene.foundation.config().reset("port").await).await;
    works_again(async |scene| scene.foundation.config().transaction(|changes| changes.set("port", 4)).await).await;
    works_again(async |scene| scene.foundation.config().reset_all().await).await;
    works_again(async |scene| scene.foundation.config().history("port").await).await;
    works_again(async |scene| {
        scene.foundation.config().update("port", 5).await?;
        let first = scene.foundation.config().history("port").await?[0].event;
        scene.foundation.config().update("port", 6).await?;
        scene.foundation.config().rollback(first).await
    })
    .await;
    works_again(async |scene| scene.foundation.config().reload().await).await;
    works_again(async |scene| scene.foundation.config().status().await).await;
    works_again(async |scene| scene.foundation.config().wait_until_up(None).await).await;
}

// covers: foundation/src/config/subscription.rs next
#[tokio::test(start_paused = true)]
async fn a_change_that_a_cancelled_call_missed_is_returned_by_the_next_call() {
    dropped_at_each_poll(
        async |scene| {
            let mut changes = scene.foundation.config().subscribe("port").unwrap();
            for port in 2..5 {
                let _ = changes.next().now_or_never();
                scene.foundation.config().update("port", port).await.unwrap();
                assert!(changes.next().await.unwrap().is_some());
            }
        },
        async |scene, _| drop(scene.foundation.config().update("port", 9).await.unwrap()),
    )
    .await;
}

// covers: foundation/src/telemetry/client.rs measure, foundation/src/telemetry/client.rs tick, foundation/src/telemetry/client.rs wait_until_up
#[tokio::test(start_paused = true)]
async fn requests_to_telemetry_may_be_cancelled() {
    works_again(async |scene| scene.foundation.telemetry().tick().await).await;
    works_again(async |scene| scene.foundation.telemetry().wait_until_up(None).await).await;
    works_again(async |scene| {
        let work = tokio::time::timeout(LONG, a_turn());
        scene.foundation.telemetry().measure("work", work).await
    })
    .await;
}
