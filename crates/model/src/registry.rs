//! The registry's own files.

// They have items that the scenarios do not use, and drop values that have a destructor only in production.
#![allow(dead_code, unused_imports, unreachable_pub, clippy::drop_non_drop)]

#[path = "../../kernel/src/registry/after_lock.rs"]
pub(crate) mod after_lock;
#[path = "../../kernel/src/registry/change.rs"]
pub(crate) mod change;
pub(crate) mod counters;
#[path = "../../kernel/src/registry/foreign.rs"]
pub(crate) mod foreign;
pub(crate) mod groups;
#[path = "../../kernel/src/registry/holder.rs"]
pub(crate) mod holder;
#[path = "../../kernel/src/registry/inbox.rs"]
pub(crate) mod inbox;
#[path = "../../kernel/src/registry/locks.rs"]
pub(crate) mod locks;
pub(crate) mod metadata;
#[path = "../../kernel/src/registry/name_guard.rs"]
pub(crate) mod name_guard;
#[path = "../../kernel/src/registry/notifier.rs"]
pub(crate) mod notifier;
#[path = "../../kernel/src/registry/table.rs"]
pub(crate) mod table;
#[path = "../../kernel/src/registry/view.rs"]
pub(crate) mod view;
#[path = "../../kernel/src/registry/wait.rs"]
pub(crate) mod wait;
#[path = "../../kernel/src/registry/watches.rs"]
pub(crate) mod watches;
