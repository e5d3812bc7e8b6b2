//! Files that are moved or removed under an open log: later writes would never be found.

use super::*;
use crate::events::LogFailureKind;

/// The failure of the next commit after this was done to the file of an open log with forty events.
#[track_caller]
fn commit_after(act: impl FnOnce(&Place)) -> String {
    let place = Place::with_events(40);
    let mut log = place.open();
    record(&mut log, [41]);
    act(&place);
    let append = || vec![Append::new(vec![event("ticked")])];
    let failure = log.commit(append(), at(99)).unwrap_err();
    assert_eq!(failure.kind(), &LogFailureKind::Displaced, "{failure}");
    assert!(log.commit(append(), at(99)).is_err(), "a failed log does nothing any more");
    assert!(log.reader().is_err() || place.path().exists());
    failure.to_string()
}

fn cut(path: &Path, bytes: u64) {
    fs::File::options().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

#[test]
fn a_database_that_is_removed_is_noticed_at_the_next_commit() {
    let told = commit_after(|place| fs::remove_file(place.path()).unwrap());
    assert!(told.starts_with("recording 1 events failed in ") && told.contains("is not there any more"), "{told}");
}

#[test]
fn a_database_that_is_replaced_is_noticed() {
    let told = commit_after(|place| {
        let copy = place.directory.path().join("copy.db");
        fs::copy(place.path(), &copy).unwrap();
        fs::rename(copy, place.path()).unwrap();
    });
    assert!(told.contains("events.db was replaced by another one while it was open"), "{told}");
}

#[test]
fn a_write_ahead_log_that_is_removed_or_replaced_is_noticed() {
    let told = commit_after(|place| fs::remove_file(place.wal()).unwrap());
    assert!(told.contains("events.db-wal is not there any more"), "{told}");
    let told = commit_after(|place| {
        fs::rename(place.wal(), place.directory.path().join("old")).unwrap();
        fs::write(place.wal(), "").unwrap();
    });
    assert!(told.contains("events.db-wal was replaced"), "{told}");
}

#[test]
fn a_directory_that_is_renamed_is_noticed() {
    let moved = tempfile::tempdir().unwrap();
    let told = commit_after(|place| fs::rename(place.directory.path(), moved.path().join("events")).unwrap());
    assert!(told.contains("is not there any more"), "{told}");
}

#[test]
fn a_file_that_is_cut_off_is_noticed() {
    let length = |path: &Path| fs::metadata(path).unwrap().len();
    for part in [0, 2] {
        let told = commit_after(|place| {
            // Into the database, so that it has something to be cut off from.
            place.tool().execute_batch("PRAGMA wal_checkpoint(FULL)").unwrap();
            let bytes = length(&place.path()).checked_div(part).unwrap_or(0);
            cut(&place.path(), bytes / 4096 * 4096);
        });
        assert!(told.contains("events.db was cut off from "), "{told}");
    }
    let told = commit_after(|place| cut(&place.wal(), 0));
    assert!(told.contains("events.db-wal was cut off while it was open"), "{told}");
}

#[test]
fn a_file_that_gives_space_back_is_not_taken_for_one_that_was_cut_off() {
    let place = Place::with_events(3_000);
    let mut log = place.open();
    let before = fs::metadata(place.path()).unwrap().len();
    while log.prune(crate::events::PruneBound::Count(10), None, 500).unwrap() > 0 {}
    while log.maintain().unwrap() {}
    assert!(fs::metadata(place.path()).unwrap().len() < before / 2);
    record(&mut log, 3_001..=3_500);
    assert_clean(&log);
}

#[test]
fn a_reader_is_not_opened_on_a_file_that_took_the_place_of_the_log() {
    let place = Place::with_events(3);
    let log = place.open();
    let old = reader(&log);
    fs::rename(place.path(), place.directory.path().join("old.db")).unwrap();
    record(&mut Place::with_events(1).open(), [2]);
    fs::copy(Place::with_events(1).path(), place.path()).unwrap();
    assert_eq!(log.reader().err().unwrap().kind(), &LogFailureKind::Displaced);
    assert_eq!(old.query(&Query::new()).unwrap().len(), 3, "an open reader goes on");
}

#[test]
fn a_log_whose_files_were_moved_away_removes_none_of_those_that_came_into_their_place() {
    let (place, elsewhere) = (Place::with_events(3), Place::new());
    let mut log = place.open();
    record(&mut log, 4..=40);
    for (from, to) in [(place.path(), elsewhere.path()), (place.wal(), elsewhere.wal())] {
        fs::rename(from, to).unwrap();
    }
    // As an operator restores what a crash has left: all but three events are in the write-ahead log.
    let backup = elsewhere.crashed();
    for (from, to) in [(backup.wal(), place.wal()), (backup.path(), place.path())] {
        fs::copy(from, to).unwrap();
    }
    assert!(log.commit(vec![Append::new(vec![event("ticked")])], at(99)).is_err());
    drop(log);
    assert_eq!(all(&place.open()).len(), 40);
}

#[test]
fn a_log_that_was_opened_without_its_write_ahead_log_does_not_remove_it_when_it_comes_back() {
    let (whole, place) = (Place::with_events(3), Place::new());
    let mut log = whole.open();
    record(&mut log, 4..=40);
    let left = whole.crashed();
    fs::copy(left.path(), place.path()).unwrap();
    let early = place.open();
    assert_eq!(all(&early).len(), 3);
    fs::rename(left.wal(), place.wal()).unwrap();
    drop(early);
    assert_eq!(all(&place.open()).len(), 40);
}

#[test]
fn a_log_that_is_opened_again_makes_neither_its_file_nor_its_directory_anew() {
    let place = Place::new();
    let again = |directory: &Path| {
        SqliteLog::open_again_in(directory, foundation_core::Namespace::Production, SqliteOptions::default())
            .unwrap_err()
    };
    let directory = place.directory.path().join("events");
    assert!(again(&directory).to_string().contains("is not there any more"));
    assert!(!directory.exists());
    assert!(again(place.directory.path()).to_string().contains("it is not made anew, since it was open before"));
    assert_eq!(fs::read_dir(place.directory.path()).unwrap().count(), 0);
}
