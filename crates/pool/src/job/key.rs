//! The keys of jobs.

use std::fmt;
use std::sync::Arc;

/// The longest key, in bytes. Keys are kept with each job and compared under a lock.
pub(crate) const MAX_KEY_BYTES: usize = 1_024;

/// A key of a job: what it is about, or what makes it unique. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct JobKey(Arc<str>);

/// The place of a key in the table of its queue, from when its first job enters until its last one has left. The jobs of the
/// key carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct KeySlot(pub(crate) u32);

impl KeySlot {
    pub(crate) fn number(self) -> usize {
        self.0 as usize
    }
}

impl JobKey {
    /// The key, or its length if it is too long.
    pub(crate) fn new(key: &str) -> Result<Self, usize> {
        if key.len() > MAX_KEY_BYTES { Err(key.len()) } else { Ok(Self(key.into())) }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
