//! Requests while the store is being restarted.

use std::time::SystemTime;

use foundation_kernel::names::{Namespace, ProcessRegistry};
use foundation_kernel::supervision::Backoff;

use super::*;
use crate::{EventStorage, SubscriptionName};

static BOOKS: SubscriptionName = SubscriptionName::from_static("books");

#[tokio::test(start_paused = true)]
async fn a_request_that_promises_the_errors_of_get_waits_for_a_store_that_is_being_restarted() {
    let second = Duration::from_secs(1);
    let root = ProcessRegistry::builder()
        .service(
            EventStore::service(EventStorage::memory())
                .with_child_spec(move |spec| spec.backoff(Backoff::Constant(second))),
        )
        .start()
        .await
        .unwrap();
    let store = EventStore::of(&root.namespace(Namespace::Production).await.unwrap());
    let id = store.append(NewEvent::new("noted").unwrap()).await.unwrap();
    root.get_all_services(Namespace::Production)[&EventStore::NAME].cell().kill_and_wait(None).await.unwrap();

    let begun = Instant::now();
    let (got, verified, repaired, moved, parked, replayed, unparked, pruned) = futures::join!(
        store.get(id),
        store.verify(|_| ()),
        store.repair(),
        store.moved_aside(1),
        store.parked(&BOOKS),
        store.play_parked(&BOOKS),
        store.unpark(&BOOKS, id),
        store.prune_before(SystemTime::UNIX_EPOCH),
    );
    assert!(begun.elapsed() >= second);
    assert_eq!((got.unwrap().unwrap().id, verified.unwrap().checked), (id, 1));
    assert_eq!((repaired.unwrap().moved_count, moved.unwrap().len(), pruned.unwrap()), (0, 0, 0));
    assert_eq!((parked.unwrap().len(), replayed.unwrap(), unparked.unwrap()), (0, 0, false));
    root.shutdown().await;
}
