//! A full disk, as the system reports it: no file may become longer than it is.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The disk is full for as long as this exists.
pub(crate) struct FullDisk(Rlimit);

impl FullDisk {
    /// Every write beyond this many bytes of a file is refused from now on.
    pub(crate) fn beyond(bytes: u64) -> Self {
        let before = getrlimit(Resource::Fsize);
        setrlimit(Resource::Fsize, Rlimit { current: Some(bytes), ..before }).unwrap();
        Self(before)
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        setrlimit(Resource::Fsize, self.0).unwrap();
    }
}
