//! The registry's own files.

// They have items that the scenarios do not use, and drop values that have a destructor only in production.
#![allow(dead_code, unused_imports, unreachable_pub, clippy::drop_non_drop)]

#[path = "../../core/src/registry/after_lock.rs"]
pub(crate) mod after_lock;
#[path = "../../core/src/registry/change.rs"]
pub(crate) mod change;
pub(crate) mod counters;
#[path = "../../core/src/registry/foreign.rs"]
pub(crate) mod foreign;
pub(crate) mod groups;
#[path = "../../core/src/registry/holder.rs"]
pub(crate) mod holder;
#[path = "../../core/src/registry/inbox.rs"]
pub(crate) mod inbox;
#[path = "../../core/src/registry/locks.rs"]
pub(crate) mod locks;
pub(crate) mod metadata;
#[path = "../../core/src/registry/name_guard.rs"]
pub(crate) mod name_guard;
#[path = "../../core/src/registry/notifier.rs"]
pub(crate) mod notifier;
#[path = "../../core/src/registry/table.rs"]
pub(crate) mod table;
#[path = "../../core/src/registry/view.rs"]
pub(crate) mod view;
#[path = "../../core/src/registry/wait.rs"]
pub(crate) mod wait;
#[path = "../../core/src/registry/watches.rs"]
pub(crate) mod watches;
