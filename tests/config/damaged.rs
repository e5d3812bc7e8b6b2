//! Records of the configuration that are no longer readable.

use std::path::Path;
use std::time::{Duration, Instant};

use foundation::events::EventStorage;
use foundation::{ConfigServer, Foundation, FoundationError, NewEvent};
use foundation_testkit::{Pool, SOON, error_text};

async fn on(directory: &Path) -> Result<Foundation, FoundationError> {
    Pool::foundation().events(EventStorage::sqlite(directory)).start().await
}

/// Another process writes into the file.
fn damage(directory: &Path, event: i64) {
    let connection = rusqlite::Connection::open(directory.join("production.db")).unwrap();
    let changed = connection.execute("UPDATE events SET payload = replace(payload, '9', '8') WHERE id = ?1", [event]);
    assert_eq!(changed, Ok(1));
}

#[tokio::test]
async fn a_damaged_record_of_the_configuration_refuses_its_start_at_once_with_the_row_and_the_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let foundation = on(directory.path()).await.unwrap();
    foundation.events().append(NewEvent::new("noted").unwrap().payload(9).unwrap()).await.unwrap();
    foundation.config().update("pool.max", 9).await.unwrap();
    foundation.config().update("server.port", 9).await.unwrap();
    foundation.shutdown().await;

    // Damage to other events does not concern the configuration.
    damage(directory.path(), 1);
    on(directory.path()).await.unwrap().shutdown().await;
    damage(directory.path(), 2);
    let begun = Instant::now();
    let text = error_text(on(directory.path()).await.map(drop));
    assert!(begun.elapsed() < Duration::from_secs(8), "the start was tried again and again: {:?}", begun.elapsed());
    assert!(text.contains("the row of event 2 is damaged: "), "{text}");
    assert!(text.contains("verify lists all damaged rows, and its repair moves them aside"), "{text}");
}

#[tokio::test]
async fn a_record_that_is_damaged_while_the_configuration_runs_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let foundation = on(directory.path()).await.unwrap();
    let config = foundation.config();
    config.update("pool.max", 9).await.unwrap();
    damage(directory.path(), 1);
    for port in 1..4 {
        let server = foundation.production().registry().lookup_any(&ConfigServer::NAME).unwrap();
        server.cell().kill_and_wait(None).await.unwrap();
        config.wait_until_up(SOON).await.unwrap();
        config.update("server.port", port).await.unwrap();
        assert_eq!((config.get("pool.max"), config.get("server.port")), (Ok(9), Ok(port)));
    }
    let text = error_text(config.history("pool").await);
    assert!(text.contains("the history of changes cannot be read: the row of event 1 is damaged: "), "{text}");
    foundation.shutdown().await;
    assert!(error_text(on(directory.path()).await.map(drop)).contains("the row of event 1 is damaged: "));
}
