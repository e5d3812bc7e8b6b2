use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process;

use super::error::SqliteError;

/// The right to write to one database file; the system takes it back when its process ends, however it ends.
///
/// It is a lock on a file beside the database, for two reasons: SQLite's own exclusive lock would shut the readers out;
/// and opening the database outside of SQLite would release SQLite's locks when that file is closed (a rule of POSIX).
#[derive(Debug)]
pub(super) struct WriterLock {
    file: File,
}

impl WriterLock {
    pub(super) fn acquire(database: &Path) -> Result<Self, SqliteError> {
        let path = lock_path(database);
        let cause = |source| SqliteError::Lock { path: path.clone(), source };
        let options = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = options.map_err(cause)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SqliteError::Locked { holder: holder(&mut file) }),
            Err(TryLockError::Error(error)) => return Err(cause(error)),
        }
        file.set_len(0).and_then(|()| write!(file, "{}", process::id())).map_err(cause)?;
        Ok(Self { file })
    }
}

impl Drop for WriterLock {
    fn drop(&mut self) {
        // Closing is not enough: a process that is being started has the file as well, until it runs its program.
        drop(self.file.unlock());
    }
}

fn lock_path(database: &Path) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(".lock");
    PathBuf::from(name)
}

/// The holder of the lock, as it has identified itself.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(32).read_to_string(&mut text));
    match (read, text.parse::<u32>()) {
        (Ok(_), Ok(id)) if id == process::id() => String::from("this process"),
        (Ok(_), Ok(id)) => format!("process {id}"),
        _ => String::from("another process"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_given_back_is_free_though_a_process_that_is_being_started_has_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("production.db");
        let lock = WriterLock::acquire(&database).unwrap();
        let inherited = lock.file.try_clone().unwrap();
        assert!(matches!(WriterLock::acquire(&database), Err(SqliteError::Locked { .. })));
        drop(lock);
        assert!(WriterLock::acquire(&database).is_ok());
        drop(inherited);
    }
}
