use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foundation::Namespace;
use foundation::events::{EventLog, EventStorage, LogError, SqliteLog, SqliteOptions};
use tempfile::TempDir;

use crate::faulty_log::{Committed, FaultyLog};

/// A disk for SQLite files that fails in the middle of one commit and keeps what was written of it by then, as after a
/// power cut, and without the end of its process.
#[derive(Debug, Clone)]
pub struct FaultyDisk(Arc<Disk>);

#[derive(Debug)]
struct Disk {
    root: TempDir,
    fails_in: usize,
    written: WrittenPart,
    commits: AtomicUsize,
    /// Each failure leaves a directory of its own, which is opened next.
    failures: AtomicUsize,
}

/// The part of a failed commit that was written to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrittenPart {
    /// None of it.
    Nothing,
    /// The first half: a short write.
    Beginning,
    /// The second half, since disks write in an order of their own: a torn write.
    End,
    /// All of it; only the answer is lost.
    All,
}

impl WrittenPart {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Nothing, Self::Beginning, Self::End, Self::All];
}

impl FaultyDisk {
    /// A disk that fails in this commit, counted from 1, when this much of it is written.
    pub fn new(fails_in: usize, written: WrittenPart) -> io::Result<Self> {
        let (commits, failures) = Default::default();
        Ok(Self(Arc::new(Disk { root: tempfile::tempdir()?, fails_in, written, commits, failures })))
    }

    /// Events on this disk.
    pub fn storage(&self) -> EventStorage {
        let disk = self.clone();
        EventStorage::with(move |namespace| disk.open(namespace))
    }

    /// The number of failures so far.
    pub fn failures(&self) -> usize {
        self.0.failures.load(Ordering::SeqCst)
    }

    fn open(&self, namespace: Namespace) -> Result<FaultyLog<SqliteLog>, LogError> {
        let log = SqliteLog::open_in(self.0.directory(self.failures()), namespace, SqliteOptions::default())?;
        let disk = Arc::clone(&self.0);
        Ok(FaultyLog::new(log, move |log, group, now| {
            match disk.commits.fetch_add(1, Ordering::SeqCst) + 1 == disk.fails_in {
                true => disk.fail_in(log.path().to_owned(), || log.commit(group, now)),
                false => log.commit(group, now),
            }
        }))
    }
}

impl Disk {
    fn directory(&self, failures: usize) -> PathBuf {
        self.root.path().join(failures.to_string())
    }

    fn fail_in(&self, database: PathBuf, commit: impl FnOnce() -> Committed) -> Committed {
        let log = write_ahead_log(&database);
        // The file does not exist before its first write.
        let before = fs::read(&log).unwrap_or_default();
        commit()?;
        let failed = fs::read(&log).and_then(|after| self.leave(&database, &half(&before, after, self.written)));
        let cause = failed.map_or_else(|error| error.to_string(), |()| "the power has failed".to_owned());
        Err(LogError::new("recording events", database.display().to_string(), cause))
    }

    /// The contents of the disk from now on. The open log does not know of it, and may close its own files in order.
    fn leave(&self, database: &Path, log: &[u8]) -> io::Result<()> {
        let directory = self.directory(self.failures.load(Ordering::SeqCst) + 1);
        fs::create_dir(&directory)?;
        let copy = directory.join(database.file_name().unwrap_or_default());
        fs::copy(database, &copy)?;
        fs::write(write_ahead_log(&copy), log)?;
        self.failures.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn write_ahead_log(database: &Path) -> PathBuf {
    let mut name = OsString::from(database);
    name.push("-wal");
    PathBuf::from(name)
}

/// A file during its change into another, of which this much was written.
fn half(before: &[u8], mut after: Vec<u8>, written: WrittenPart) -> Vec<u8> {
    let start = before.iter().zip(&after).take_while(|(old, new)| old == new).count();
    let middle = start + (after.len() - start) / 2;
    match written {
        WrittenPart::Nothing => return before.to_vec(),
        WrittenPart::Beginning => after.truncate(middle),
        WrittenPart::End => {
            let old = before[start..].iter().copied().chain(std::iter::repeat(0));
            after[start..middle].iter_mut().zip(old).for_each(|(byte, old)| *byte = old);
        }
        WrittenPart::All => {}
    }
    after
}
