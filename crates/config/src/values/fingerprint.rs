//! Detection of changed files.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;

/// A fingerprint of the contents of files, by which a change is noticed. It covers bytes and not times: times change
/// without the bytes, and do not always change with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint(u64);

/// The fingerprint of contents that were read, in the order of the files.
impl<'a> FromIterator<&'a io::Result<Option<Vec<u8>>>> for Fingerprint {
    fn from_iter<I: IntoIterator<Item = &'a io::Result<Option<Vec<u8>>>>>(contents: I) -> Self {
        let mut hasher = DefaultHasher::new();
        for content in contents {
            content.as_ref().map_err(|error| error.to_string()).hash(&mut hasher);
        }
        Self(hasher.finish())
    }
}
