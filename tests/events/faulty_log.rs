//! A log in a file, alone and with faults between it and its writer.

use std::path::Path;
use std::time::SystemTime;

use foundation::events::{Append, EventLog, LogError, Query, SqliteLog, SqliteOptions};
use foundation::{Namespace, NewEvent};
use foundation_testkit::{ErrorInjector, FaultyLog, InjectedError};

fn open(directory: &Path, faults: &ErrorInjector) -> FaultyLog<SqliteLog> {
    faults.of(SqliteLog::open_in(directory, Namespace::Production, SqliteOptions::default()).unwrap())
}

fn append(log: &mut impl EventLog, number: usize) -> Result<(), LogError> {
    let new = NewEvent::new("counted").unwrap().payload(number).unwrap().idempotency_key(number.to_string());
    let answers = log.commit(vec![Append::new(vec![new])], SystemTime::now())?;
    answers.into_iter().for_each(|answer| drop(answer.unwrap()));
    Ok(())
}

/// Appends until it is acknowledged, with a log opened anew after each failure, as a supervised store does.
fn insist(directory: &Path, faults: &ErrorInjector, numbers: impl Iterator<Item = usize>) -> usize {
    let mut failures = 0;
    let mut log = Some(open(directory, faults));
    for number in numbers {
        while append(log.as_mut().unwrap(), number).is_err() {
            failures += 1;
            // The one before is closed first: a file has one log at a time.
            log = None;
            log.get_or_insert_with(|| open(directory, faults));
        }
    }
    failures
}

#[test]
fn a_writer_that_retries_with_keys_records_each_event_once_whatever_fails() {
    let directory = tempfile::tempdir().unwrap();
    let faults = ErrorInjector::new(|commit| match commit % 7 {
        3 => Some(InjectedError::BeforeCommit),
        6 => Some(InjectedError::AfterCommit),
        _ => None,
    });

    let failures = insist(directory.path(), &faults, 0..40);

    assert!(failures >= 12, "{failures}");
    let log = SqliteLog::open_in(directory.path(), Namespace::Production, SqliteOptions::default()).unwrap();
    let reader = log.reader().unwrap();
    let events = reader.query(&Query::new()).unwrap();
    let numbers: Vec<usize> = events.iter().map(|event| event.payload_as().unwrap()).collect();
    assert_eq!(numbers, (0..40).collect::<Vec<_>>());
    assert!(reader.verify(&mut |_| ()).unwrap().is_clean());
}

#[test]
fn a_commit_that_failed_before_the_disk_leaves_no_event_and_an_unusable_log() {
    let directory = tempfile::tempdir().unwrap();
    let faults = ErrorInjector::new(|commit| (commit == 2).then_some(InjectedError::BeforeCommit));
    let mut log = open(directory.path(), &faults);
    append(&mut log, 0).unwrap();
    let failure = append(&mut log, 1).unwrap_err().to_string();
    assert_eq!(failure, "recording events failed in a faulty log: the disk took nothing");
    let failure = append(&mut log, 2).unwrap_err().to_string();
    assert!(failure.ends_with("it has failed before and has to be opened again"), "{failure}");
    drop(log);

    let log = open(directory.path(), &faults);
    assert_eq!(log.reader().unwrap().stats().unwrap().recorded, 1);
}
