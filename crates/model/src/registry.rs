//! The registry's own files.

// They have items that the scenarios do not use, and drop values that have a destructor only in production.
#![allow(dead_code, unused_imports, unreachable_pub, clippy::drop_non_drop)]

pub(crate) mod groups;
pub(crate) mod names;
