//! The files of the pool's queue, with what they stand on.

// They have items that the scenarios do not use, drop values that have a destructor only in production, and errors are larger here.
#![allow(dead_code, unused_imports, unreachable_pub, clippy::drop_non_drop, clippy::result_large_err)]

pub(crate) mod dead_letters;
#[path = "../../pool/src/error.rs"]
pub(crate) mod error;
pub(crate) mod event;
pub(crate) mod job;
#[path = "../../pool/src/overflow.rs"]
pub(crate) mod overflow;
pub(crate) mod queue;
pub(crate) mod retry;
pub(crate) mod routing;
#[path = "../../pool/src/slab.rs"]
pub(crate) mod slab;
#[path = "../../pool/src/timetable.rs"]
pub(crate) mod timetable;
pub(crate) mod watch;
