use std::process;

use foundation_core::Namespace;

use super::super::{Durability, schema};
use super::*;

fn refusal(place: &Place) -> String {
    let error = place.try_open().unwrap_err().to_string();
    assert!(error.contains(&*place.path().to_string_lossy()), "names the file: {error}");
    error
}

fn pragma(log: &SqliteLog, name: &str) -> i64 {
    log.connection().pragma_query_value(None, name, |row| row.get(0)).unwrap()
}

#[test]
fn the_directory_is_made() {
    let place = Place::new();
    let path = place.directory.path().join("a/b/events.db");
    SqliteLog::open(&path, "production", SqliteOptions::default()).unwrap();
    assert!(path.is_file());
}

#[test]
fn a_new_file_is_set_up_as_promised() {
    let log = Place::new().open();
    let mode: String = log.connection().pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    assert_eq!(pragma(&log, "synchronous"), 2, "full");
    assert_eq!(pragma(&log, "auto_vacuum"), 2, "incremental");
    assert_eq!(pragma(&log, "wal_autocheckpoint"), 8000);
    assert_eq!(pragma(&log, "user_version"), i64::from(schema::VERSION));
    assert_eq!(pragma(&log, "application_id"), i64::from(schema::APPLICATION_ID));
}

#[test]
fn less_durability_has_to_be_asked_for() {
    let place = Place::new();
    let options = SqliteOptions::default().durability(Durability::Relaxed);
    let log = SqliteLog::open(place.path(), "production", options).unwrap();
    assert_eq!(pragma(&log, "synchronous"), 1, "normal");
}

#[test]
fn a_reader_cannot_write() {
    let place = Place::with_events(1);
    let _log = place.open();
    let connection = super::super::connection::open_reader(&place.path(), std::time::Duration::ZERO).unwrap();
    let error = connection.execute("DELETE FROM events", []).unwrap_err().to_string();
    assert!(error.contains("readonly"), "{error}");
}

#[test]
fn a_second_log_on_one_file_is_refused_with_its_holder_and_opens_after_the_first() {
    let place = Place::new();
    let first = place.open();
    let error = refusal(&place);
    assert!(error.contains("this process has it open"), "{error}");
    drop(first);
    place.open();
}

#[cfg(unix)]
#[test]
fn a_link_to_the_file_is_the_same_file() {
    let place = Place::new();
    let _first = place.open();
    let link = place.directory.path().join("link.db");
    std::os::unix::fs::symlink(place.path(), &link).unwrap();
    let error = SqliteLog::open(&link, "production", SqliteOptions::default()).unwrap_err().to_string();
    assert!(error.contains("has it open"), "{error}");
}

#[test]
fn a_lock_that_a_dead_process_has_left_is_no_lock() {
    let place = Place::new();
    fs::write(place.directory.path().join("events.db.lock"), (process::id() + 1).to_string()).unwrap();
    place.open();
}

#[test]
fn a_directory_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path()).unwrap();
    assert!(refusal(&place).contains("it is a directory"));
}

#[test]
fn a_file_where_a_directory_should_be_is_refused() {
    let place = Place::new();
    fs::write(place.path(), "").unwrap();
    let below = place.path().join("events.db");
    let error = SqliteLog::open(&below, "production", SqliteOptions::default()).unwrap_err().to_string();
    assert!(error.contains("cannot be made"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn an_unwritable_place_is_refused() {
    // Not even the superuser can make files there.
    let error = SqliteLog::open("/proc/events.db", "production", SqliteOptions::default()).unwrap_err().to_string();
    assert!(error.starts_with("opening the event log failed in /proc/events.db: the lock file"), "{error}");
}

#[test]
fn a_file_that_is_no_database_is_refused_and_stays_as_it_is() {
    let place = Place::new();
    let text = "a letter, and no database. ".repeat(100);
    fs::write(place.path(), &text).unwrap();
    assert!(refusal(&place).contains("not a database"));
    assert_eq!(fs::read_to_string(place.path()).unwrap(), text);
}

#[test]
fn the_database_of_another_application_is_refused_and_stays_as_it_is() {
    let place = Place::new();
    place.tool().execute_batch("CREATE TABLE bookmarks (url TEXT)").unwrap();
    let before = fs::read(place.path()).unwrap();
    let error = refusal(&place);
    assert!(error.contains("of another application (application id 0x00000000, wanted 0x464e6576)"), "{error}");
    assert_eq!(fs::read(place.path()).unwrap(), before);
}

#[test]
fn a_newer_schema_is_refused_with_both_versions_and_stays_as_it_is() {
    let place = Place::with_events(1);
    place.tool().pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
    let before = fs::read(place.path()).unwrap();
    let error = refusal(&place);
    assert!(error.contains("its schema has version 3, and this program knows the versions up to 2"), "{error}");
    assert_eq!(fs::read(place.path()).unwrap(), before);
}

#[test]
fn a_file_of_the_first_version_is_brought_to_the_current_one_and_keeps_its_events() {
    let place = Place::with_events(3);
    place.tool().execute_batch("DROP TABLE parked; DROP TABLE damaged_events; PRAGMA user_version = 1").unwrap();
    let mut log = place.open();
    assert_eq!(pragma(&log, "user_version"), i64::from(schema::VERSION));
    record(&mut log, [4]);
    assert_eq!(ids(&log, &Query::new()), [1, 2, 3, 4]);
    assert_clean(&log);
}

#[test]
fn the_file_of_another_namespace_is_refused() {
    let place = Place::with_events(1);
    let error = SqliteLog::open(place.path(), "test:1", SqliteOptions::default()).unwrap_err().to_string();
    assert!(error.contains("keeps the events of namespace \"production\", and those of \"test:1\""), "{error}");
}

#[test]
fn a_tampered_schema_has_no_effect() {
    let place = Place::with_events(2);
    let hostile = "CREATE TRIGGER gone AFTER INSERT ON events BEGIN DELETE FROM events WHERE id < new.id; END;
        CREATE TRIGGER back AFTER UPDATE ON state BEGIN UPDATE state SET highest_id = 0; END;
        CREATE TABLE ours (id); CREATE VIEW theirs AS SELECT id FROM events;";
    place.tool().execute_batch(hostile).unwrap();
    let mut log = place.open();
    record(&mut log, [3]);
    assert_eq!(ids(&log, &Query::new()), [1, 2, 3]);
    assert_eq!(super::super::state::State::load(log.connection()).unwrap().highest_id, 3);
    assert_clean(&log);
}

#[test]
fn a_file_whose_events_are_a_view_is_refused_or_fails_without_harm() {
    let place = Place::with_events(2);
    place
        .tool()
        .execute_batch("ALTER TABLE events RENAME TO hidden; CREATE VIEW events AS SELECT * FROM hidden")
        .unwrap();
    let mut log = place.open();
    let group = vec![Append::new(vec![event("ticked")])];
    assert!(log.commit(group, at(3)).is_err());
    assert!(log.reader().unwrap().query(&Query::new()).is_err());
}

#[test]
fn a_refused_file_is_not_locked() {
    let place = Place::with_events(1);
    SqliteLog::open(place.path(), "test:1", SqliteOptions::default()).unwrap_err();
    place.open();
}

#[test]
fn each_namespace_has_a_file_of_its_own_in_one_directory() {
    let place = Place::new();
    let directory = place.directory.path();
    let open = |namespace| SqliteLog::open_in(directory, namespace, SqliteOptions::default()).unwrap();
    let logs = [Namespace::Production, Namespace::test(), Namespace::test()].map(open);
    assert_eq!(logs[0].path().file_name().unwrap(), "production.db");
    assert!(logs.iter().all(|log| log.path().parent() == Some(&*directory.canonicalize().unwrap())));
    assert_eq!(
        fs::read_dir(directory)
            .unwrap()
            .filter(|file| file.as_ref().unwrap().path().extension().unwrap() == "db")
            .count(),
        3
    );
}
