//! The names of one namespace: the table, its guards, its watches, and the monitor of the actors that have names.

mod change;
mod counters;
mod holder;
mod locks;
mod metadata;
mod monitor;
mod notifier;
mod origin;
mod table;
mod watches;

pub use change::NameChange;
pub use holder::{Registration, ServiceEntry};
pub use metadata::{Metadata, MetadataError};
pub use origin::Origin;
pub use watches::watch::{DeferredDrops, TryNextError, Watch, WatchRevision, Watched};

pub(super) use self::{
    counters::Counted,
    holder::{Holder, LookupError},
    locks::Locks,
    monitor::{KeepError, Monitor},
    notifier::Latch,
    table::{ClaimError, HandOverError, NameGuard, Table},
};
