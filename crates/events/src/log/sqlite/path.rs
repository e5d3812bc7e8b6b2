//! The path of a database file.

use std::fmt::Write;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::error::SqliteError;

/// The longest name that is kept as it is; file systems take 255 bytes, a few of which SQLite's own endings need.
const MAX_BYTES: usize = 200;

/// The file of a namespace in a directory; two namespaces never share one, and no name leads out of the directory.
///
/// Lower-case letters, digits and `-` stay; every other byte becomes `_` and two hexadecimal digits, since some file
/// systems take capital letters for small ones.
pub(super) fn file_of(directory: &Path, namespace: &str) -> PathBuf {
    let mut name = String::with_capacity(namespace.len());
    for byte in namespace.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => name.push(char::from(byte)),
            _ => write!(name, "_{byte:02x}").unwrap_or_default(),
        }
    }
    if name.len() > MAX_BYTES {
        let checksum = crc32fast::hash(namespace.as_bytes());
        name.truncate(MAX_BYTES);
        write!(name, "_x{}_{checksum:08x}", namespace.len()).unwrap_or_default();
    }
    directory.join(name + ".db")
}

/// What happens if a file, or its directory, is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Create,
    /// It was open before: an empty one in its place would be a loss that looks like a success, now or when it comes
    /// back.
    Refuse,
}

/// The canonical path of a file: absolute, with its directory made (if it may be) and resolved.
///
/// An absolute path cannot be taken for an address with parameters either (`file:…?mode=…`), which SQLite understands.
pub(super) fn prepare(path: &Path, missing: Missing) -> Result<PathBuf, SqliteError> {
    if missing == Missing::Refuse {
        let found = fs::metadata(path).map_err(|error| SqliteError::lookup(path, error));
        // SQLite takes an empty file for a new database, and removes the write-ahead log beside it.
        let found = found.and_then(|found| match found.len() {
            0 => Err(SqliteError::Displaced { path: path.to_path_buf(), what: "is empty".to_owned() }),
            _ => Ok(()),
        });
        found.map_err(SqliteError::not_made_anew)?;
    }
    let name = path.file_name().ok_or(SqliteError::IsDirectory)?;
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let cause = |source| SqliteError::Directory { path: directory.to_path_buf(), source };
    if missing == Missing::Create {
        make(directory).map_err(cause)?;
    }
    let directory = directory.canonicalize().map_err(cause)?;
    let path = directory.join(name);
    // A link is followed, so that the lock beside the file is the same for all names of it.
    let path = path.canonicalize().unwrap_or(path);
    if path.is_dir() { Err(SqliteError::IsDirectory) } else { Ok(path) }
}

/// Makes the directory and its parents. SQLite makes the entries of its files durable; this does so for new
/// directories.
fn make(directory: &Path) -> std::io::Result<()> {
    let missing: Vec<&Path> =
        directory.ancestors().take_while(|at| !at.as_os_str().is_empty() && !at.exists()).collect();
    fs::create_dir_all(directory)?;
    if cfg!(unix) {
        for made in missing {
            let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use foundation_kernel::containment::error_text;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn production_has_a_file_of_that_name() {
        assert_eq!(file_of(Path::new("/data"), "production"), Path::new("/data/production.db"));
    }

    #[test]
    fn hostile_names_stay_in_the_directory() {
        for name in ["", ".", "..", "../../etc/passwd", "/etc/passwd", "c:\\x", "a\0b", "file:x?mode=memory", "é"] {
            let file = file_of(Path::new("/data"), name);
            assert_eq!(file.parent(), Some(Path::new("/data")), "{name:?}");
            assert!(file.file_name().unwrap().to_str().unwrap().is_ascii(), "{name:?}");
        }
        assert!(file_of(Path::new("/data"), &"é".repeat(10_000)).file_name().unwrap().len() < 240);
    }

    #[test]
    fn a_file_that_cannot_be_looked_up_is_not_said_to_be_gone() {
        let directory = tempfile::tempdir().unwrap();
        let message = |name: &str| error_text(&prepare(&directory.path().join(name), Missing::Refuse).unwrap_err());
        let (gone, unknown) = (message("gone.db"), message(&"n".repeat(300)));
        assert!(
            gone.contains("gone.db is not there any more: ") && gone.ends_with(", since it was open before"),
            "{gone}"
        );
        assert!(
            unknown.starts_with("it cannot be found out whether the file ") && unknown.contains("too long"),
            "{unknown}"
        );
    }

    proptest! {
        #[test]
        fn two_names_never_share_a_file(one in ".{0,8}", other in ".{0,8}") {
            prop_assume!(one != other);
            let lower = |name| file_of(Path::new(""), name).to_str().unwrap().to_ascii_lowercase();
            prop_assert_ne!(lower(&one), lower(&other));
        }
    }
}
