//! Whether files say something else than they did.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
#[cfg(feature = "reload")]
use std::path::PathBuf;

#[cfg(feature = "reload")]
use super::file;

/// What some files say, so far as it takes to notice that it is something else: their bytes and not their times, which
/// change without these, and do not always change with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    /// Of what was read of the files, in their order.
    pub(super) fn of<'a>(contents: impl IntoIterator<Item = &'a io::Result<Option<Vec<u8>>>>) -> Self {
        let mut hasher = DefaultHasher::new();
        for content in contents {
            content.as_ref().map_err(|error| error.to_string()).hash(&mut hasher);
        }
        Self(hasher.finish())
    }

    /// Of the files as they are now. Blocks, and costs reading them.
    #[cfg(feature = "reload")]
    pub(super) fn read(files: &[PathBuf], max_bytes: usize) -> Self {
        Self::of(&files.iter().map(|path| file::bytes(path, max_bytes)).collect::<Vec<_>>())
    }
}
