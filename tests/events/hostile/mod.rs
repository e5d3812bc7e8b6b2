//! Attacks on the event store: hostile texts, sizes, ids and numbers.
//!
//! Invalid names are refused, texts are kept unchanged; nothing is lost, nothing grows, and the store continues.

mod events;
mod imports;

use foundation::events::EventStorage;
use foundation::{EventStore, Foundation, NewEvent};

/// The checks for every store: one in memory and one in SQLite, each through its service, which still works afterwards.
async fn each_store(bears: impl AsyncFn(&EventStore)) {
    let directory = tempfile::tempdir().unwrap();
    for storage in [EventStorage::memory(), EventStorage::sqlite(directory.path())] {
        let foundation = Foundation::builder().events(storage).start().await.unwrap();
        let store = foundation.events();
        bears(store).await;
        let position = store.position();
        let event = store.append(NewEvent::new("worked").unwrap()).await.unwrap();
        assert_eq!(event.get(), position.map_or(0, |position| position.get()) + 1);
        assert_eq!(store.get(event).await.unwrap().unwrap().kind.as_str(), "worked");
        let verification = store.verify(|_| ()).await.unwrap();
        assert!(verification.is_clean(), "{verification}");
        foundation.shutdown().await;
    }
}
