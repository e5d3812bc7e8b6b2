//! The acknowledgements for events that an actor has answered: when, and how often.

use std::sync::Arc;

use foundation::events::{Event, EventId, SubscriptionError, SubscriptionName, SubscriptionSpec};
use foundation::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation::{Foundation, NewEvent, ServiceKey};
use tokio::sync::mpsc::UnboundedReceiver;

use super::recording_log::{LogCall, RecordingLog};

const MAIL: SubscriptionName = SubscriptionName::from_static("mail");
const CLERK: ServiceKey<Item> = ServiceKey::from_static("clerk");

/// Answers every message at once.
struct Clerk;

struct Item(RpcReplyPort<()>);
foundation::local_message!(Item);

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Clerk {
    type Msg = Item;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Item>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<Item>, Item(answer): Item, (): &mut ()) -> Result<(), ActorProcessingErr> {
        Ok(answer.send(())?)
    }
}

fn item(_: Result<Arc<Event>, SubscriptionError>, answer: RpcReplyPort<()>) -> Item {
    Item(answer)
}

async fn append(foundation: &Foundation, count: usize) {
    foundation.events().append_batch(vec![NewEvent::new("counted").unwrap(); count]).await.unwrap();
}

/// The next acknowledged event.
async fn acknowledged(calls: &mut UnboundedReceiver<LogCall>) -> u64 {
    loop {
        if let LogCall::Acknowledge(event) = calls.recv().await.unwrap() {
            return event;
        }
    }
}

async fn start() -> (Foundation, ActorRef<Item>, UnboundedReceiver<LogCall>) {
    let (log, calls) = RecordingLog::new();
    let foundation = Foundation::builder().events(log.storage()).start().await.unwrap();
    let clerk = foundation.production().spawn(&CLERK, Clerk, ()).await.unwrap();
    (foundation, clerk, calls)
}

#[tokio::test]
async fn acknowledgements_follow_after_sixty_four_answers_and_whenever_no_event_is_left_to_send() {
    let (foundation, clerk, mut calls) = start().await;
    append(&foundation, 100).await;
    let spec = SubscriptionSpec::from_beginning();
    let mail = foundation.events().subscribe_durable_with(MAIL, spec, clerk, item).await.unwrap();
    for (acknowledged, more) in [(64, 0), (100, 3), (103, 0)] {
        assert_eq!(self::acknowledged(&mut calls).await, acknowledged);
        if more > 0 {
            append(&foundation, more).await;
        }
    }
    drop(mail);
    foundation.shutdown().await;
    assert_eq!(calls.try_recv().ok(), None);
}

#[tokio::test]
async fn pruned_events_that_were_not_sent_are_acknowledged_after_the_answers_before_them() {
    let (foundation, clerk, mut calls) = start().await;
    append(&foundation, 5).await;
    let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(3_600);
    assert_eq!(foundation.events().prune_before(soon).await.unwrap(), 5);
    let spec = SubscriptionSpec::from_beginning();
    let mail = foundation.events().subscribe_durable_with(MAIL, spec.clone(), clerk, item).await.unwrap();
    assert_eq!(acknowledged(&mut calls).await, 5);
    drop(mail);

    // By hand it is the same; under another name, since the first may not be free yet.
    let by_hand = SubscriptionName::from_static("by_hand");
    let mut mail = foundation.events().subscribe_durable(by_hand, spec).await.unwrap();
    assert!(matches!(mail.next().await, Err(SubscriptionError::Missed { to, .. }) if Some(to) == EventId::new(5)));
    mail.ack(EventId::new(5).unwrap()).await.unwrap();
    assert_eq!(acknowledged(&mut calls).await, 5);
    foundation.shutdown().await;
}
