//! The table of names, its guards, its watches, and the monitor.

#[path = "../../../kernel/src/registry/names/change.rs"]
mod change;
pub(crate) mod counters;
#[path = "../../../kernel/src/registry/names/holder.rs"]
mod holder;
#[path = "../../../kernel/src/registry/names/locks.rs"]
mod locks;
mod metadata;
#[path = "../../../kernel/src/registry/names/monitor.rs"]
mod monitor;
#[path = "../../../kernel/src/registry/names/notifier.rs"]
mod notifier;
#[path = "../../../kernel/src/registry/names/origin.rs"]
mod origin;
#[path = "../../../kernel/src/registry/names/table.rs"]
mod table;
#[path = "../../../kernel/src/registry/names/watches.rs"]
mod watches;

pub(crate) use change::NameChange;
pub(crate) use holder::{Holder, LookupError, Registration};
pub(crate) use locks::Locks;
pub(crate) use metadata::Metadata;
pub(crate) use monitor::Monitor;
pub(crate) use notifier::Latch;
pub(crate) use origin::Origin;
pub(crate) use table::{NameGuard, Table};
pub(crate) use watches::watch::{DeferredDrops, Watch, Watched};
