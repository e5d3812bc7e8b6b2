//! Workers: what a user implements, and the loop that runs one.

pub(crate) mod batch_size;
pub(crate) mod crew;
pub(crate) mod perform;
pub(crate) mod run;
pub(crate) mod signal;
pub(crate) mod slot;
pub(crate) mod slots;
#[expect(clippy::module_inception, reason = "one noun a file")]
pub(crate) mod worker;
