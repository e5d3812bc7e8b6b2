use super::*;
use crate::{EventId, PruneBound};

#[test]
fn pruning_everything_resets_no_ids_and_no_time_after_a_restart() {
    let file = TestFile::with_events(3);
    let mut log = file.open();
    assert_eq!(log.prune(PruneBound::Count(0), None, 100).unwrap(), 3);
    drop(log);

    let mut log = file.open();
    record(&mut log, [1]);
    let events = all(&log);
    assert_eq!((events[0].id.get(), events[0].recorded_at), (4, at(3)));
    assert_clean(&log);
}

#[test]
fn pruning_takes_the_oldest_and_no_more_at_once_than_asked() {
    let file = TestFile::with_events(10);
    let mut log = file.open();
    assert_eq!(log.prune(PruneBound::Before(at(7)), None, 4).unwrap(), 4);
    assert_eq!(log.prune(PruneBound::Before(at(7)), None, 4).unwrap(), 2);
    assert_eq!(log.prune(PruneBound::Before(at(7)), None, 4).unwrap(), 0);
    assert_eq!(ids(&log, &Query::new()), [7, 8, 9, 10]);
}

#[test]
fn pruning_by_bytes_leaves_at_most_so_many() {
    let file = TestFile::with_events(10);
    let mut log = file.open();
    let bytes = reader(&log).stats().unwrap().bytes;
    assert!(bytes >= 2000, "{bytes}");
    log.prune(PruneBound::Bytes(bytes / 2 + 8), None, 100).unwrap();
    let stats = reader(&log).stats().unwrap();
    assert_eq!((stats.held, stats.pruned), (5, 5));
    assert!(stats.bytes <= bytes / 2 + 8);
    assert_clean(&log);
}

#[test]
fn a_pruned_event_frees_its_key() {
    let file = TestFile::with_events(2);
    let mut log = file.open();
    log.prune(PruneBound::Count(0), None, 100).unwrap();
    record(&mut log, [2]);
    assert_eq!(ids(&log, &Query::new()), [3]);
}

#[test]
fn space_is_given_back_a_chunk_at_a_time() {
    let file = TestFile::new();
    let mut log = file.open();
    let batch = |_| event("filled").payload("x".repeat(4000)).unwrap();
    for _ in 0..4 {
        log.commit(vec![Append::new((0..250).map(batch).collect())], at(1)).unwrap().remove(0).unwrap();
    }
    log.connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let before = fs::metadata(file.path()).unwrap().len();
    log.prune(PruneBound::Count(1), None, 10_000).unwrap();

    let mut chunks = 1;
    while log.maintain().unwrap() {
        chunks += 1;
    }

    let after = fs::metadata(file.path()).unwrap().len();
    assert!(before > 4_000_000 && after < 200_000, "{before} to {after} bytes");
    assert!((4..=8).contains(&chunks), "{chunks} chunks");
    assert_eq!(reader(&log).get(EventId::new(1000).unwrap()).unwrap().unwrap().id.get(), 1000);
    assert_clean(&log);
}

#[test]
fn there_is_nothing_to_give_back_without_pruning() {
    let file = TestFile::with_events(2);
    assert!(!file.open().maintain().unwrap());
}

#[test]
fn a_file_that_cannot_give_space_back_has_nothing_to_give() {
    let file = TestFile::new();
    // Empty, but with a first page: it is too late for the setting.
    file.tool().execute_batch("CREATE TABLE passing (x); DROP TABLE passing;").unwrap();
    let mut log = file.open();
    record(&mut log, 1..=40);
    log.prune(PruneBound::Count(0), None, 100).unwrap();
    assert!(!log.maintain().unwrap());
    assert_clean(&log);
}
