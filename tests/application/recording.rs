//! The recorded events of supervision.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use foundation::events::{EventKind, EventLimits, EventStorage, MemoryLog, Query};
use foundation::ractor::{Actor, ActorProcessingErr, ActorRef};
use foundation::supervision::{NameTaken, RestartIntensity};
use foundation::{ChildSpec, EventStore, Foundation, Limits, NewEvent, Recording, ServiceKey, TestNamespace};
use foundation_testkit::{SOON, TestDisk};

use serde_json::json;

/// Fails with the received text.
struct Fails;

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Fails {
    type Msg = String;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<String>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<String>, cause: String, (): &mut ()) -> Result<(), ActorProcessingErr> {
        Err(cause.into())
    }
}

const A: ServiceKey<String> = ServiceKey::from_static("a");
const B: ServiceKey<String> = ServiceKey::from_static("b");

async fn kinds(events: &EventStore) -> Vec<EventKind> {
    events.query(Query::new()).await.unwrap().iter().map(|event| event.kind.clone()).collect()
}

/// Makes a service fail with this cause, and returns when its successor is up.
async fn fail(services: &foundation::Services, key: &ServiceKey<String>, cause: String) {
    let actor = services.lookup(key).unwrap();
    actor.cast(cause).unwrap();
    actor.wait(None).await.unwrap();
    services.wait_for_service(key, SOON).await.unwrap();
    // It is found before its start is reported: the answer comes after that.
    services.application().unwrap().count_children().await.unwrap();
}

#[foundation::test]
async fn the_normal_ends_of_a_thousand_tasks_are_not_recorded(namespace: TestNamespace) {
    let application = namespace.services().application().unwrap();
    for n in 0..1_000 {
        let task = ChildSpec::task(format!("task {n}"), |_| async {});
        let actor = application.start_child(task).await.unwrap().unwrap();
        actor.wait(None).await.unwrap();
    }
    application.count_children().await.unwrap();
    assert_eq!(kinds(namespace.events()).await, []);
}

#[tokio::test]
async fn recording_can_be_set_to_everything_or_nothing() {
    for (recording, expected) in
        [(Recording::Nothing, None), (Recording::Everything, Some([Recording::CHILD_STARTED, Recording::CHILD_EXITED]))]
    {
        let foundation = Foundation::builder().record(recording).start().await.unwrap();
        let application = foundation.production().application().unwrap();
        let task = ChildSpec::task("task", |_| async {});
        application.start_child(task).await.unwrap().unwrap().wait(None).await.unwrap();
        application.count_children().await.unwrap();
        let of_task = Query::new().payload("/child", "task").unwrap();
        let recorded = foundation.events().query(of_task).await.unwrap();
        let recorded: Vec<_> = recorded.iter().map(|event| event.kind.clone()).collect();
        assert_eq!(recorded, expected.map(Vec::from).unwrap_or_default());
        foundation.shutdown().await;
    }
}

#[tokio::test]
async fn a_name_that_is_taken_at_a_restart_is_recorded_with_its_consequence() {
    for (rule, word) in [(NameTaken::Wait, "wait"), (NameTaken::Rest, "rest")] {
        let child = move |services: &foundation::Services| services.child_spec(&A, || (Fails, ())).on_name_taken(rule);
        let foundation = Foundation::builder().child(child).start().await.unwrap();
        let (services, application) = (foundation.production(), foundation.production().application().unwrap());
        let (child, heir) = (services.lookup(&A).unwrap(), Actor::spawn(None, Fails, ()).await.unwrap().0);
        services.registry().hand_over(&A, &heir).unwrap();
        child.kill_and_wait(None).await.unwrap();
        let taken = Query::new().kind(Recording::CHILD_NAME_TAKEN);
        let event = loop {
            application.count_children().await.unwrap();
            if let [event] = &foundation.events().query(taken.clone()).await.unwrap()[..] {
                break std::sync::Arc::clone(event);
            }
        };
        assert_eq!((&event.payload["child"], &event.payload["rule"]), (&json!("a"), &json!(word)));
        assert!(event.payload["cause"].as_str().unwrap().contains("already registered"), "{}", event.payload);
        heir.stop_and_wait(None, None).await.unwrap();
        foundation.shutdown().await;
    }
}

/// Events whose store, when it is restarted, blocks until it is released.
fn held_up(limits: EventLimits) -> (EventStorage, mpsc::Sender<()>) {
    let (release, released) = mpsc::channel();
    let (log, released) = (MemoryLog::new("production").with_limits(limits), Mutex::new(released));
    let opened = Arc::new(AtomicBool::new(false));
    let storage = EventStorage::with(move |_| {
        if opened.swap(true, Ordering::SeqCst) {
            let _ = released.lock().unwrap().recv();
        }
        Ok(log.clone())
    });
    (storage, release)
}

async fn with_store_away(storage: EventStorage, limits: Limits) -> Foundation {
    let builder = Foundation::builder().events(storage).limits(limits).intensity(RestartIntensity::UNLIMITED);
    let builder = builder.child(|services| services.child_spec(&A, || (Fails, ())));
    let foundation = builder.child(|services| services.child_spec(&B, || (Fails, ()))).start().await.unwrap();
    let store = foundation.production().registry().lookup_any(&EventStore::NAME).unwrap();
    store.cell().kill_and_wait(None).await.unwrap();
    foundation
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn reports_are_recorded_when_the_store_returns_and_a_long_one_is_shortened_without_loss_of_others() {
    let (storage, release) = held_up(EventLimits::default());
    let foundation = with_store_away(storage, Limits::new()).await;
    fail(foundation.production(), &A, "the disk is full".to_owned()).await;
    fail(foundation.production(), &B, "x".repeat(2 << 20)).await;
    drop(release);
    foundation.events().wait_until_up(SOON).await.unwrap();
    let mut restarts =
        foundation.events().subscribe(foundation::events::SubscriptionSpec::from_beginning()).await.unwrap();
    let mut exited = Vec::new();
    while exited.len() < 3 {
        let event = tokio::time::timeout(SOON, restarts.next()).await.unwrap().unwrap().unwrap();
        exited.extend((event.kind == Recording::CHILD_EXITED).then_some(event));
    }
    // From two supervisors: the report of the store may come between those of the application, which keep their order.
    let (store, children): (Vec<_>, Vec<_>) =
        exited.iter().partition(|event| event.payload["child"].as_str() == Some("event_store"));
    let names: Vec<_> = children.iter().map(|event| event.payload["child"].as_str().unwrap()).collect();
    assert_eq!((store.len(), names), (1, vec!["a", "b"]));
    assert!(children[1].payload.to_string().contains("xxxx"));
    foundation.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_gap_is_recorded_when_the_store_is_away_for_too_long() {
    let (storage, release) = held_up(EventLimits::default());
    let foundation = with_store_away(storage, Limits::new().kept_reports(4)).await;
    for n in 0..5 {
        fail(foundation.production(), &A, format!("failure {n}")).await;
    }
    drop(release);
    foundation.events().wait_until_up(SOON).await.unwrap();
    let mut events =
        foundation.events().subscribe(foundation::events::SubscriptionSpec::from_beginning()).await.unwrap();
    let mut next = async || tokio::time::timeout(SOON, events.next()).await.unwrap().unwrap().unwrap();
    let gap = next().await;
    assert_eq!(gap.kind, Recording::SUPERVISION_REPORTS_LOST);
    // The end of the store, and of each failure its end and its restart: eleven, and the restart of the store itself.
    assert_eq!(gap.payload["lost"], 8);
    let rest = [next().await, next().await, next().await, next().await];
    // From two supervisors: that of the store may report its end between those of the application, which keep their order.
    let children: Vec<_> = rest.iter().filter(|event| event.payload["child"] == "a").collect();
    let [.., exited, restarted] = &children[..] else { panic!("{rest:?}") };
    assert!(exited.payload.to_string().contains("failed: failure 4"), "{rest:?}");
    assert_eq!((&exited.kind, &restarted.kind), (&Recording::CHILD_EXITED, &Recording::CHILD_RESTARTED));
    assert_eq!(rest[3].payload["child"], "event_store");
    foundation.shutdown().await;
}

#[tokio::test]
async fn reports_fit_into_a_log_with_narrow_limits_of_its_own() {
    let limits = EventLimits::new().max_payload_bytes(300).max_source_bytes(20);
    let builder = Foundation::builder().events(EventStorage::memory_within(limits));
    let foundation = builder.child(|services| services.child_spec(&A, || (Fails, ()))).start().await.unwrap();
    fail(foundation.production(), &A, "y".repeat(1_000)).await;
    assert_eq!(kinds(foundation.events()).await, [Recording::CHILD_EXITED, Recording::CHILD_RESTARTED]);
    foundation.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn reports_made_while_the_disk_is_full_are_recorded_as_soon_as_there_is_room_again() {
    let disk = TestDisk::default();
    let builder =
        Foundation::builder().events(disk.in_memory()).child(|services| services.child_spec(&A, || (Fails, ())));
    let foundation = builder.start().await.unwrap();
    disk.set_full(true);
    foundation.events().append(NewEvent::new("refused").unwrap()).await.unwrap_err();
    fail(foundation.production(), &A, "the printer is on fire".to_owned()).await;
    assert!(foundation.events().outage().is_some());
    disk.set_full(false);

    // No further report or append follows.
    let mut events =
        foundation.events().subscribe(foundation::events::SubscriptionSpec::from_beginning()).await.unwrap();
    let mut next = async || tokio::time::timeout(SOON, events.next()).await.unwrap().unwrap().unwrap();
    let recorded = [next().await, next().await, next().await];
    let kinds: Vec<_> = recorded.iter().map(|event| event.kind.clone()).collect();
    assert_eq!(kinds, [EventStore::EVENT_STORE_OUTAGE, Recording::CHILD_EXITED, Recording::CHILD_RESTARTED]);
    assert!(recorded[1].payload.to_string().contains("the printer is on fire"));
    foundation.shutdown().await;
}
