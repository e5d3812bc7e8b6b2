//! Files that are moved or removed under an open log: later writes would never be found.

use super::*;
use crate::LogErrorKind;

/// The error of the next commit after this was done to the file of an open log with forty events.
#[track_caller]
fn commit_after(act: impl FnOnce(&TestFile)) -> String {
    let file = TestFile::with_events(40);
    let mut log = file.open();
    record(&mut log, [41]);
    act(&file);
    let append = || vec![Append::new(vec![event("ticked")])];
    let error = log.commit(append(), at(99)).unwrap_err();
    assert_eq!(error.kind(), &LogErrorKind::Displaced, "{error}");
    assert!(log.commit(append(), at(99)).is_err(), "a failed log does nothing any more");
    assert!(log.reader().is_err() || file.path().exists());
    error.to_string()
}

fn cut(path: &Path, bytes: u64) {
    fs::File::options().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

#[test]
fn a_database_that_is_removed_is_noticed_at_the_next_commit() {
    let error = commit_after(|file| fs::remove_file(file.path()).unwrap());
    assert!(error.starts_with("recording 1 events failed in ") && error.contains("is not there any more"), "{error}");
}

#[test]
fn a_database_that_is_replaced_is_noticed() {
    let error = commit_after(|file| {
        let copy = file.directory.path().join("copy.db");
        fs::copy(file.path(), &copy).unwrap();
        fs::rename(copy, file.path()).unwrap();
    });
    assert!(error.contains("events.db was replaced by another one while it was open"), "{error}");
}

#[test]
fn a_write_ahead_log_that_is_removed_or_replaced_is_noticed() {
    let error = commit_after(|file| fs::remove_file(file.wal()).unwrap());
    assert!(error.contains("events.db-wal is not there any more"), "{error}");
    let error = commit_after(|file| {
        fs::rename(file.wal(), file.directory.path().join("old")).unwrap();
        fs::write(file.wal(), "").unwrap();
    });
    assert!(error.contains("events.db-wal was replaced"), "{error}");
}

#[test]
fn a_directory_that_is_renamed_is_noticed() {
    let moved = tempfile::tempdir().unwrap();
    let error = commit_after(|file| fs::rename(file.directory.path(), moved.path().join("events")).unwrap());
    assert!(error.contains("is not there any more"), "{error}");
}

#[test]
fn a_file_that_is_cut_off_is_noticed() {
    let length = |path: &Path| fs::metadata(path).unwrap().len();
    for part in [0, 2] {
        let error = commit_after(|file| {
            // Into the database, so that it has something to be cut off from.
            file.tool().execute_batch("PRAGMA wal_checkpoint(FULL)").unwrap();
            let bytes = length(&file.path()).checked_div(part).unwrap_or(0);
            cut(&file.path(), bytes / 4096 * 4096);
        });
        assert!(error.contains("events.db was cut off from "), "{error}");
    }
    let error = commit_after(|file| cut(&file.wal(), 0));
    assert!(error.contains("events.db-wal was cut off while it was open"), "{error}");
}

#[test]
fn a_file_that_gives_space_back_is_not_taken_for_one_that_was_cut_off() {
    let file = TestFile::with_events(3_000);
    let mut log = file.open();
    let before = fs::metadata(file.path()).unwrap().len();
    while log.prune(crate::PruneBound::Count(10), None, 500).unwrap() > 0 {}
    while log.maintain().unwrap() {}
    assert!(fs::metadata(file.path()).unwrap().len() < before / 2);
    record(&mut log, 3_001..=3_500);
    assert_clean(&log);
}

#[test]
fn a_reader_is_not_opened_on_a_file_that_took_the_place_of_the_log() {
    let file = TestFile::with_events(3);
    let log = file.open();
    let old = reader(&log);
    fs::rename(file.path(), file.directory.path().join("old.db")).unwrap();
    record(&mut TestFile::with_events(1).open(), [2]);
    fs::copy(TestFile::with_events(1).path(), file.path()).unwrap();
    assert_eq!(log.reader().err().unwrap().kind(), &LogErrorKind::Displaced);
    assert_eq!(old.query(&Query::new()).unwrap().len(), 3, "an open reader goes on");
}

#[test]
fn a_log_whose_files_were_moved_away_removes_none_of_those_that_came_into_their_place() {
    let (file, elsewhere) = (TestFile::with_events(3), TestFile::new());
    let mut log = file.open();
    record(&mut log, 4..=40);
    for (from, to) in [(file.path(), elsewhere.path()), (file.wal(), elsewhere.wal())] {
        fs::rename(from, to).unwrap();
    }
    // As an operator restores what a crash has left: all but three events are in the write-ahead log.
    let backup = elsewhere.crashed();
    for (from, to) in [(backup.wal(), file.wal()), (backup.path(), file.path())] {
        fs::copy(from, to).unwrap();
    }
    assert!(log.commit(vec![Append::new(vec![event("ticked")])], at(99)).is_err());
    drop(log);
    assert_eq!(all(&file.open()).len(), 40);
}

#[test]
fn a_log_that_was_opened_without_its_write_ahead_log_does_not_remove_it_when_it_comes_back() {
    let (whole, file) = (TestFile::with_events(3), TestFile::new());
    let mut log = whole.open();
    record(&mut log, 4..=40);
    let left = whole.crashed();
    fs::copy(left.path(), file.path()).unwrap();
    let early = file.open();
    assert_eq!(all(&early).len(), 3);
    fs::rename(left.wal(), file.wal()).unwrap();
    drop(early);
    assert_eq!(all(&file.open()).len(), 40);
}

#[test]
fn a_log_that_is_opened_again_makes_neither_its_file_nor_its_directory_anew() {
    let file = TestFile::new();
    let again = |directory: &Path| {
        SqliteLog::open_again_in(directory, foundation_kernel::names::Namespace::Production, SqliteOptions::default())
            .unwrap_err()
    };
    let directory = file.directory.path().join("events");
    assert!(again(&directory).to_string().contains("is not there any more"));
    assert!(!directory.exists());
    assert!(again(file.directory.path()).to_string().contains("it is not made anew, since it was open before"));
    assert_eq!(fs::read_dir(file.directory.path()).unwrap().count(), 0);
}

#[test]
fn a_log_that_is_opened_again_does_not_take_an_empty_file_for_a_new_one() {
    let place = TestFile::with_events(3);
    let mut log = place.open();
    record(&mut log, 4..=40);
    let (left, directory) = (place.crashed(), tempfile::tempdir().unwrap());
    let database = directory.path().join("production.db");
    fs::copy(left.wal(), directory.path().join("production.db-wal")).unwrap();
    fs::write(&database, "").unwrap();
    let again = || {
        let production = foundation_kernel::names::Namespace::Production;
        SqliteLog::open_again_in(directory.path(), production, SqliteOptions::default())
    };
    assert!(again().unwrap_err().to_string().contains("is empty; it is not made anew"));
    fs::copy(left.path(), &database).unwrap();
    assert_eq!(all(&again().unwrap()).len(), 40);
}
