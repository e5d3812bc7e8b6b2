//! Files after a crash, a disk error or a flipped bit. Each ends in a clear error or in a file as it was at some
//! moment; after it, the log goes on.

use std::ops::Range;

use super::*;
use crate::LogErrorKind;

/// The log's own header and one frame's, in bytes; a frame has a page behind its header.
const WAL_HEADER: u64 = 32;
const FRAME: u64 = 24 + 4096;

/// A file with ten events in the database and ten in the write-ahead log, as a crash leaves it; and the ends of the
/// log's bytes after each of the latter.
fn crashed() -> (TestFile, Vec<u64>) {
    let file = TestFile::with_events(10);
    let mut log = file.open();
    let mut ends = Vec::new();
    for second in 11..=20 {
        record(&mut log, [second]);
        ends.push(fs::metadata(file.wal()).unwrap().len());
    }
    (file.crashed(), ends)
}

/// Opens it, checks all that must hold in any case, and returns how many events there are.
fn recovered(file: &TestFile) -> usize {
    let mut log = file.open();
    assert_clean(&log);
    let events = all(&log);
    assert!(events.iter().map(|event| event.id.get()).eq(1..=events.len() as u64));
    record(&mut log, [99]);
    assert_eq!(all(&log).len(), events.len() + 1, "the log goes on");
    events.len()
}

#[test]
fn a_crash_loses_nothing_that_was_acknowledged() {
    let (file, ends) = crashed();
    assert_eq!(ends.last(), Some(&fs::metadata(file.wal()).unwrap().len()));
    assert_eq!(recovered(&file), 20);
}

#[test]
fn a_torn_write_ahead_log_leaves_all_commits_before_the_tear() {
    let (whole, ends) = crashed();
    let length = fs::metadata(whole.wal()).unwrap().len();
    // In the header, in a frame's header, within a page, at the ends of frames and commits.
    let mut tears = vec![0, 7, WAL_HEADER, WAL_HEADER + 5, WAL_HEADER + FRAME, length - 1, length];
    tears.extend(ends.iter().flat_map(|end| [end - FRAME, end - 100, *end]));
    for tear in tears {
        let file = whole.crashed();
        fs::File::options().write(true).open(file.wal()).unwrap().set_len(tear).unwrap();
        let complete = ends.iter().filter(|end| **end <= tear).count();
        assert_eq!(recovered(&file), 10 + complete, "torn at {tear}");
    }
}

#[test]
fn a_write_that_stopped_short_leaves_zeros_and_all_commits_before_them() {
    let (whole, ends) = crashed();
    let file = whole.crashed();
    let mut bytes = fs::read(file.wal()).unwrap();
    bytes[usize::try_from(ends[6] + 1000).unwrap()..].fill(0);
    fs::write(file.wal(), bytes).unwrap();
    assert_eq!(recovered(&file), 17);
}

#[test]
fn a_flipped_bit_in_the_write_ahead_log_leaves_all_commits_before_it() {
    let (whole, ends) = crashed();
    // Each field of the first header but the two that no reader checks, and each part of a later commit.
    let mut flips: Vec<u64> = vec![0, 4, 8, 16, 24];
    flips.extend([ends[3] + 2, ends[3] + 6, ends[3] + 9, ends[3] + 17, ends[3] + 1000, ends[5] - 1]);
    for flipped in flips {
        let file = whole.crashed();
        flip(&file.wal(), flipped);
        let complete = ends.iter().filter(|end| **end <= flipped).count();
        match file.try_open() {
            Ok(log) => {
                drop(log);
                assert_eq!(recovered(&file), 10 + complete, "flipped at {flipped}");
            }
            Err(error) => assert!(error.to_string().contains("events.db"), "{error}"),
        }
    }
}

#[test]
fn a_write_ahead_log_of_another_file_is_not_taken() {
    let (file, _) = crashed();
    let (other, _) = crashed();
    fs::copy(other.wal(), file.wal()).unwrap();
    flip(&file.wal(), 16);
    assert_eq!(recovered(&file), 10);
}

/// Flips one bit in each of these places of the database, one at a time; returns what `verify` or opening reports.
fn flipped_database(places: Range<u64>) -> Vec<String> {
    let file = TestFile::with_events(40);
    let before = all(&file.open());
    let whole = fs::read(file.path()).unwrap();
    let mut said = Vec::new();
    for offset in places.map(|step| step * 509 % whole.len() as u64) {
        fs::write(file.path(), &whole).unwrap();
        flip(&file.path(), offset);
        match file.try_open() {
            Err(error) => said.push(error.to_string()),
            Ok(log) => {
                let reader = reader(&log);
                if let Ok(events) = reader.query(&Query::new()) {
                    // No forged event is returned; `verify` reports what cannot be found any more.
                    assert!(events.iter().all(|event| before.contains(event)), "flipped at {offset}");
                }
                match reader.verify(&mut |_| ()) {
                    Ok(found) if found.is_clean() => assert_eq!(all(&log), before, "flipped at {offset}"),
                    Ok(found) => said.push(found.to_string()),
                    Err(error) => said.push(error.to_string()),
                }
            }
        }
    }
    said
}

#[test]
fn a_flipped_bit_in_the_database_is_reported_or_harmless() {
    let said = flipped_database(0..160);
    // The others are in parts of pages that nothing uses.
    assert!(said.len() > 25, "only {} were reported", said.len());
    assert!(said.iter().all(|text| text.len() > 20));
}

#[test]
fn a_truncated_database_is_reported() {
    let file = TestFile::with_events(60);
    let length = fs::metadata(file.path()).unwrap().len();
    fs::File::options().write(true).open(file.path()).unwrap().set_len(length / 2 / 4096 * 4096).unwrap();
    let error = match file.try_open() {
        Ok(log) => verify(&log).to_string(),
        Err(error) => error.to_string(),
    };
    assert!(error.contains("malformed") || error.contains("SQLite says"), "{error}");
}

#[test]
fn a_full_disk_fails_the_group_and_the_log_and_harms_nothing_before() {
    let file = TestFile::with_events(5);
    let mut log = file.open();
    let pages: i64 = log.connection().pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    log.connection().pragma_update_and_check(None, "max_page_count", pages + 4, |_| Ok(())).unwrap();

    let group = |payload: usize| vec![Append::new(vec![event("grown").payload("x".repeat(payload)).unwrap()])];
    let error = log.commit(group(100_000), at(9)).unwrap_err();
    assert_eq!(error.kind(), &LogErrorKind::Full);
    let error = error.to_string();
    assert!(error.starts_with("recording 1 events failed in "), "{error}");
    assert!(error.contains("database or disk is full"), "{error}");
    let error = log.commit(group(1), at(9)).unwrap_err().to_string();
    assert!(error.contains("has failed before and has to be opened again: database or disk is full"), "{error}");
    assert!(log.maintain().is_err(), "a failed log does nothing any more");

    drop(log);
    assert_eq!(recovered(&file), 5);
}

#[test]
fn a_group_that_fails_in_its_middle_leaves_nothing_of_itself() {
    let file = TestFile::with_events(2);
    let mut log = file.open();
    // Occupies the id after the next one, outside of the log: the second event of the group cannot be written.
    let forge = "INSERT INTO events SELECT 4, kind, namespace, recorded_at, observed_at, source, source_actor, correlation_id, \
        causation_id, 'forged', payload, checksum FROM events WHERE id = 1";
    file.tool().execute(forge, []).unwrap();
    let append = || Append::new(vec![event("one")]);
    log.commit(vec![append(), append(), append()], at(9)).unwrap_err();
    drop(log);
    file.tool().execute("DELETE FROM events WHERE id = 4", []).unwrap();
    assert_eq!(recovered(&file), 2);
}
