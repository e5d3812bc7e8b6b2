//! The log that keeps events: its interface, the values that pass through it, and two implementations.

mod admission;
#[cfg(test)]
mod contract;
mod error;
mod interface;
mod interrupt;
mod memory;
#[cfg(test)]
mod model;
mod page;
mod parked;
mod prune_bound;
mod query;
mod repair;
#[cfg(feature = "sqlite")]
mod sqlite;
mod stats;
mod verification;

pub use admission::{Append, Appended, EventLimits, ExpectedPosition, recordable};
pub use error::{DamagedEvent, LogError, LogErrorKind, OnDamaged};
pub use interface::{EventLog, EventReader, ReaderSource};
pub use interrupt::Interrupt;
pub use memory::MemoryLog;
pub use page::EventPage;
pub use parked::{ParkedEvent, SubscriptionName};
pub use prune_bound::PruneBound;
pub use query::{Order, Query, QueryParts};
pub use repair::{RepairReport, RepairStep};
#[cfg(feature = "sqlite")]
pub use sqlite::{Durability, SqliteLog, SqliteOptions};
pub use stats::EventStats;
pub use verification::{LogFinding, Verification};
