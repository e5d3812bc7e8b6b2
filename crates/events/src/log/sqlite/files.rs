//! Checks that the files of a database are still those that were opened: a file that is removed or replaced can be
//! written to for as long as it is open, and what was written is never found.
//!
//! Runs after each commit and before it is answered; costs two lookups in the directory and one read of a file.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::path::{Path, PathBuf};

use super::error::SqliteError;

/// The files of an open database.
#[derive(Debug)]
pub(super) struct Files {
    database: OpenFile,
    /// How long the database was.
    length: u64,
    /// The write-ahead log.
    log: OpenFile,
    log_file: File,
}

impl Files {
    /// The files that are there now, just opened.
    ///
    /// # Errors
    /// [`SqliteError::Displaced`].
    pub(super) fn of(database: &Path) -> Result<Self, SqliteError> {
        let mut log = OsString::from(database);
        log.push("-wal");
        let log = PathBuf::from(log);
        // SQLite has no locks on this one that would be released when it is closed, as they would be on the database.
        let log_file = File::open(&log).map_err(|error| SqliteError::lookup(&log, error))?;
        let (database, log) = (OpenFile::of(database.to_path_buf())?, OpenFile::of(log)?);
        Ok(Self { length: database.find()?.len(), database, log, log_file })
    }

    /// Whether both are there, and whole as far as can be seen from outside. The database may have shrunk to
    /// `shortest`, by giving space back.
    ///
    /// # Errors
    /// [`SqliteError::Displaced`] says which is not, and what happened to it.
    pub(super) fn check(&mut self, shortest: impl FnOnce() -> Result<u64, SqliteError>) -> Result<(), SqliteError> {
        let found = self.database.find()?.len();
        if found < self.length && (found == 0 || found < shortest()?) {
            let what = format!("was cut off from {} to {found} bytes while it was open", self.length);
            return Err(displaced(&self.database.path, what));
        }
        self.length = found;
        self.log.find()?;
        // Its length says nothing: a write behind a cut makes it as long as before.
        if has_lost_its_beginning(&self.log_file) {
            return Err(displaced(&self.log.path, "was cut off while it was open"));
        }
        Ok(())
    }

    /// Checks whether the database alone is there: without a writer, the write-ahead log may be another one.
    pub(super) fn database_is_there(&self) -> impl Fn() -> Result<(), SqliteError> + Send + Sync + 'static {
        let database = self.database.clone();
        move || database.find().map(drop)
    }

    /// Whether both are there.
    ///
    /// # Errors
    /// [`SqliteError::Displaced`].
    pub(super) fn are_there(&self) -> Result<(), SqliteError> {
        self.database.find().and_then(|_| self.log.find()).map(drop)
    }
}

/// One of the files, as it was when it was opened.
#[derive(Debug, Clone)]
struct OpenFile {
    path: PathBuf,
    identity: Identity,
}

impl OpenFile {
    fn of(path: PathBuf) -> Result<Self, SqliteError> {
        let identity = identity(&metadata(&path)?);
        Ok(Self { path, identity })
    }

    /// Finds the file at its path.
    ///
    /// # Errors
    /// [`SqliteError::Displaced`].
    fn find(&self) -> Result<Metadata, SqliteError> {
        let found = metadata(&self.path)?;
        match identity(&found) == self.identity {
            true => Ok(found),
            false => Err(displaced(&self.path, "was replaced by another one while it was open")),
        }
    }
}

fn metadata(path: &Path) -> Result<Metadata, SqliteError> {
    fs::metadata(path).map_err(|error| SqliteError::lookup(path, error))
}

fn displaced(path: &Path, what: impl Into<String>) -> SqliteError {
    SqliteError::Displaced { path: path.to_path_buf(), what: what.into() }
}

/// The identity of a file: its device and its inode.
#[cfg(unix)]
type Identity = (u64, u64);
/// Elsewhere, an open file cannot be removed.
#[cfg(not(unix))]
type Identity = ();

#[cfg(unix)]
fn identity(found: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;

    (found.dev(), found.ino())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Identity {}

/// Whether a write-ahead log that was written to begins with zeros.
#[cfg(unix)]
fn has_lost_its_beginning(log: &File) -> bool {
    use std::os::unix::fs::FileExt;

    let mut magic = [1; 4];
    log.read_at(&mut magic, 0).is_ok() && magic == [0; 4]
}

#[cfg(not(unix))]
fn has_lost_its_beginning(_: &File) -> bool {
    false
}
