use std::process;

use foundation_kernel::names::Namespace;

use super::super::Durability;
use super::*;

fn refusal(file: &TestFile) -> String {
    let error = file.try_open().unwrap_err().to_string();
    assert!(error.contains(&*file.path().to_string_lossy()), "names the file: {error}");
    error
}

fn pragma(log: &SqliteLog, name: &str) -> i64 {
    log.connection().pragma_query_value(None, name, |row| row.get(0)).unwrap()
}

#[test]
fn the_directory_is_made() {
    let file = TestFile::new();
    let path = file.directory.path().join("a/b/events.db");
    SqliteLog::open(&path, "production", SqliteOptions::default()).unwrap();
    assert!(path.is_file());
}

#[test]
fn a_new_file_is_set_up_as_promised() {
    let log = TestFile::new().open();
    let mode: String = log.connection().pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    assert_eq!(pragma(&log, "synchronous"), 2, "full");
    assert_eq!(pragma(&log, "auto_vacuum"), 2, "incremental");
    assert_eq!(pragma(&log, "wal_autocheckpoint"), 8000);
    assert_eq!(pragma(&log, "user_version"), 2);
    assert_eq!(pragma(&log, "application_id"), 0x464E_6576);
}

#[test]
fn less_durability_has_to_be_asked_for() {
    let file = TestFile::new();
    let options = SqliteOptions::default().durability(Durability::Relaxed);
    let log = SqliteLog::open(file.path(), "production", options).unwrap();
    assert_eq!(pragma(&log, "synchronous"), 1, "normal");
}

#[test]
fn a_reader_cannot_write() {
    let file = TestFile::with_events(1);
    let _log = file.open();
    let connection = super::super::connection::open_reader(&file.path(), std::time::Duration::ZERO).unwrap();
    let error = connection.execute("DELETE FROM events", []).unwrap_err().to_string();
    assert!(error.contains("readonly"), "{error}");
}

#[test]
fn a_second_log_on_one_file_is_refused_with_its_holder_and_opens_after_the_first() {
    let file = TestFile::new();
    let first = file.open();
    let error = refusal(&file);
    assert!(error.contains("this process has it open"), "{error}");
    drop(first);
    file.open();
}

#[cfg(unix)]
#[test]
fn a_link_to_the_file_is_the_same_file() {
    let file = TestFile::new();
    let _first = file.open();
    let link = file.directory.path().join("link.db");
    std::os::unix::fs::symlink(file.path(), &link).unwrap();
    let error = SqliteLog::open(&link, "production", SqliteOptions::default()).unwrap_err().to_string();
    assert!(error.contains("has it open"), "{error}");
}

#[test]
fn a_lock_that_a_dead_process_has_left_is_no_lock() {
    let file = TestFile::new();
    fs::write(file.directory.path().join("events.db.lock"), (process::id() + 1).to_string()).unwrap();
    file.open();
}

#[test]
fn a_directory_is_refused() {
    let file = TestFile::new();
    fs::create_dir(file.path()).unwrap();
    assert!(refusal(&file).contains("it is a directory"));
}

#[test]
fn a_file_where_a_directory_should_be_is_refused() {
    let file = TestFile::new();
    fs::write(file.path(), "").unwrap();
    let below = file.path().join("events.db");
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
    let file = TestFile::new();
    let text = "a letter, and no database. ".repeat(100);
    fs::write(file.path(), &text).unwrap();
    assert!(refusal(&file).contains("not a database"));
    assert_eq!(fs::read_to_string(file.path()).unwrap(), text);
}

#[test]
fn the_database_of_another_application_is_refused_and_stays_as_it_is() {
    let file = TestFile::new();
    file.tool().execute_batch("CREATE TABLE bookmarks (url TEXT)").unwrap();
    let before = fs::read(file.path()).unwrap();
    let error = refusal(&file);
    assert!(error.contains("of another application (application id 0x00000000, wanted 0x464e6576)"), "{error}");
    assert_eq!(fs::read(file.path()).unwrap(), before);
}

#[test]
fn a_newer_schema_is_refused_with_both_versions_and_stays_as_it_is() {
    let file = TestFile::with_events(1);
    file.tool().pragma_update(None, "user_version", 3).unwrap();
    let before = fs::read(file.path()).unwrap();
    let error = refusal(&file);
    assert!(error.contains("its schema has version 3, and this program knows the versions up to 2"), "{error}");
    assert_eq!(fs::read(file.path()).unwrap(), before);
}

#[test]
fn a_file_of_the_first_version_is_brought_to_the_current_one_and_keeps_its_events() {
    let file = TestFile::with_events(3);
    file.tool().execute_batch("DROP TABLE parked; DROP TABLE damaged_events; PRAGMA user_version = 1").unwrap();
    let mut log = file.open();
    assert_eq!(pragma(&log, "user_version"), 2);
    record(&mut log, [4]);
    assert_eq!(ids(&log, &Query::new()), [1, 2, 3, 4]);
    assert_clean(&log);
}

#[test]
fn the_file_of_another_namespace_is_refused() {
    let file = TestFile::with_events(1);
    let error = SqliteLog::open(file.path(), "test:1", SqliteOptions::default()).unwrap_err().to_string();
    assert!(error.contains("keeps the events of namespace \"production\", and those of \"test:1\""), "{error}");
}

#[test]
fn a_tampered_schema_has_no_effect() {
    let file = TestFile::with_events(2);
    let hostile = "CREATE TRIGGER gone AFTER INSERT ON events BEGIN DELETE FROM events WHERE id < new.id; END;
        CREATE TRIGGER back AFTER UPDATE ON state BEGIN UPDATE state SET highest_id = 0; END;
        CREATE TABLE ours (id); CREATE VIEW theirs AS SELECT id FROM events;";
    file.tool().execute_batch(hostile).unwrap();
    let mut log = file.open();
    record(&mut log, [3]);
    assert_eq!(ids(&log, &Query::new()), [1, 2, 3]);
    assert_eq!(super::super::events::State::load(log.connection()).unwrap().highest_id, 3);
    assert_clean(&log);
}

#[test]
fn a_file_whose_events_are_a_view_is_refused_or_fails_without_harm() {
    let file = TestFile::with_events(2);
    file.tool()
        .execute_batch("ALTER TABLE events RENAME TO hidden; CREATE VIEW events AS SELECT * FROM hidden")
        .unwrap();
    let mut log = file.open();
    let group = vec![Append::new(vec![event("ticked")])];
    assert!(log.commit(group, at(3)).is_err());
    assert!(log.reader().unwrap().query(&Query::new()).is_err());
}

#[test]
fn a_refused_file_is_not_locked() {
    let file = TestFile::with_events(1);
    SqliteLog::open(file.path(), "test:1", SqliteOptions::default()).unwrap_err();
    file.open();
}

#[test]
fn each_namespace_has_a_file_of_its_own_in_one_directory() {
    let file = TestFile::new();
    let directory = file.directory.path();
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
