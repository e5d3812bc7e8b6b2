//! The registry's own files.

// Each of them has more than the scenarios use, and drops what has a destructor where it belongs.
#![allow(dead_code, unused_imports, unreachable_pub, clippy::drop_non_drop)]

pub(crate) mod counters;
#[path = "../../core/src/registry/foreign.rs"]
pub(crate) mod foreign;
pub(crate) mod groups;
#[path = "../../core/src/registry/holder.rs"]
pub(crate) mod holder;
#[path = "../../core/src/registry/lease.rs"]
pub(crate) mod lease;
pub(crate) mod metadata;
#[path = "../../core/src/registry/table.rs"]
pub(crate) mod table;
pub(crate) mod view;
#[path = "../../core/src/registry/wait.rs"]
pub(crate) mod wait;
pub(crate) mod watches;
