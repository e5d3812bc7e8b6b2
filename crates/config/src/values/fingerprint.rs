//! Detection of changed files.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
#[cfg(feature = "reload")]
use std::path::PathBuf;

#[cfg(feature = "reload")]
use super::file;

/// A fingerprint of the contents of files, by which a change is noticed. It covers bytes and not times: times change
/// without the bytes, and do not always change with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint of contents that were read, in the order of the files.
    pub(super) fn of<'a>(contents: impl IntoIterator<Item = &'a io::Result<Option<Vec<u8>>>>) -> Self {
        let mut hasher = DefaultHasher::new();
        for content in contents {
            content.as_ref().map_err(|error| error.to_string()).hash(&mut hasher);
        }
        Self(hasher.finish())
    }

    /// The fingerprint of the files as they are now. Blocks, and costs reading them.
    #[cfg(feature = "reload")]
    pub(super) fn read(files: &[PathBuf], max_bytes: usize) -> Self {
        Self::of(&files.iter().map(|path| file::bytes(path, max_bytes)).collect::<Vec<_>>())
    }
}
