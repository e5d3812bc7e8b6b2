use super::*;
use crate::EventId;

/// The damage that `verify` finds after this was done to a file with three events.
fn found_after(sql: &str) -> Verification {
    let file = TestFile::with_events(3);
    file.tool().execute_batch(sql).unwrap();
    verify(&file.open())
}

#[track_caller]
fn assert_found(sql: &str, event: Option<u64>, what: &str) {
    let found = found_after(sql);
    let event = event.and_then(EventId::new);
    let is_reported = found.findings.iter().any(|entry| entry.event == event && entry.reason.contains(what));
    assert!(is_reported, "wanted {what:?}, found {found}");
}

#[test]
fn a_sound_file_is_clean_and_its_progress_is_reported() {
    let file = TestFile::with_events(3);
    let mut reported = Vec::new();
    let found = reader(&file.open()).verify(&mut |count| reported.push(count)).unwrap();
    assert_eq!((found.checked, found.finding_count, reported.last()), (3, 0, Some(&3)));
}

#[test]
fn an_empty_file_is_clean() {
    assert_clean(&TestFile::new().open());
}

#[test]
fn a_change_of_any_column_is_found() {
    for change in [
        "kind = 'forged'",
        "namespace = 'forged'",
        "observed_at = 7",
        "source = 'forged'",
        "correlation_id = zeroblob(16)",
        "correlation_id = x'00'",
        "causation_id = 1",
        "idempotency_key = 'forged'",
        "payload = 'null'",
        "payload = '{'",
        "kind = 'Not a kind'",
        "checksum = 7",
    ] {
        assert_found(&format!("UPDATE events SET {change} WHERE id = 2"), Some(2), "damaged");
    }
}

#[test]
fn a_missing_event_is_found() {
    assert_found("DELETE FROM events WHERE id = 2", Some(2), "it is missing");
    assert_found("DELETE FROM events WHERE id = 3", Some(3), "missing");
}

#[test]
fn a_time_that_goes_back_is_found() {
    assert_found("UPDATE events SET recorded_at = 5 WHERE id = 2", Some(2), "damaged");
    assert_found("UPDATE state SET latest = 5", None, "later than the latest time");
}

#[test]
fn a_high_water_mark_that_is_too_low_is_found() {
    assert_found("UPDATE state SET highest_id = 2", None, "ids up to 2 were given");
}

#[test]
fn a_wrong_sum_of_bytes_is_found() {
    assert_found("UPDATE state SET bytes = bytes + 1", None, "are counted");
}

#[test]
fn an_index_that_disagrees_with_its_table_is_found() {
    // The index goes on without this row, as after a write that only reached the table.
    let sql = "PRAGMA writable_schema = ON;
        UPDATE sqlite_schema SET sql = replace(sql, 'kind, recorded_at', 'namespace, recorded_at') WHERE name = 'events_by_kind';";
    assert_found(sql, None, "SQLite says");
}

#[test]
fn a_cause_that_is_not_before_its_effect_is_found() {
    let file = TestFile::with_events(1);
    let log = file.open();
    let mut forged = event("noted").record(EventId::new(2).unwrap(), "production", at(2));
    forged.causation_id = Some(forged.id);
    super::super::events::forge(log.connection(), &forged).unwrap();
    log.connection().execute("UPDATE state SET highest_id = 2", []).unwrap();
    let found = verify(&log);
    assert!(found.findings.iter().any(|entry| entry.reason == "its cause, event 2, is not before it"), "{found}");
}
