//! Workers: what a user implements, and the loop that runs one.

pub(crate) mod run;
pub(crate) mod slot;
#[expect(clippy::module_inception, reason = "one noun a file")]
pub(crate) mod worker;
