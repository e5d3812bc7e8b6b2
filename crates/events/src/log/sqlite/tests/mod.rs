//! The SQLite log: against the memory log as its model, at its edges, and with damaged files.

mod contract;
mod displaced;
mod faults;
mod model;
mod opening;
mod plans;
mod pruning;
mod reading;
mod repairing;
mod verifying;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::Connection;
use tempfile::TempDir;

use super::{SqliteLog, SqliteOptions};
use crate::{Append, Event, EventLog, EventReader, Interrupt, LogError, NewEvent, Query, Verification};

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn event(kind: &str) -> NewEvent {
    NewEvent::new(kind).unwrap()
}

/// A file in a directory of its own.
struct TestFile {
    directory: TempDir,
}

impl TestFile {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("events.db")
    }

    fn wal(&self) -> PathBuf {
        self.directory.path().join("events.db-wal")
    }

    fn open(&self) -> SqliteLog {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<SqliteLog, LogError> {
        SqliteLog::open(self.path(), "production", SqliteOptions::default())
    }

    /// A file with `count` events, one a group, recorded one second after the other from second 1 on.
    fn with_events(count: u64) -> Self {
        let file = Self::new();
        record(&mut file.open(), 1..=count);
        file
    }

    /// The files as a crash would leave them at this moment, in a directory of their own.
    fn crashed(&self) -> Self {
        let copy = Self::new();
        for (from, to) in [(self.path(), copy.path()), (self.wal(), copy.wal())] {
            if from.exists() {
                fs::copy(from, to).unwrap();
            }
        }
        copy
    }

    /// A connection without any of our checks, as another program has.
    fn tool(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }
}

fn record(log: &mut SqliteLog, seconds: impl IntoIterator<Item = u64>) {
    for second in seconds {
        let new = event("ticked").payload(format!("{second:0>200}")).unwrap().idempotency_key(format!("key-{second}"));
        assert!(log.commit(vec![Append::new(vec![new])], at(second)).unwrap()[0].is_ok());
    }
}

fn reader(log: &SqliteLog) -> Box<dyn EventReader> {
    log.reader().unwrap()
}

fn ids(log: &SqliteLog, query: &Query) -> Vec<u64> {
    reader(log).query(query).unwrap().iter().map(|event| event.id.get()).collect()
}

fn all(log: &SqliteLog) -> Vec<Event> {
    reader(log).query(&Query::new()).unwrap().iter().map(|event| Event::clone(event)).collect()
}

fn verify(log: &SqliteLog) -> Verification {
    reader(log).verify(&mut |_| ()).unwrap()
}

fn assert_clean(log: &SqliteLog) {
    let verification = verify(log);
    assert!(verification.is_clean(), "{verification}");
}

fn flip(path: &Path, offset: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[usize::try_from(offset).unwrap()] ^= 0x10;
    fs::write(path, bytes).unwrap();
}
