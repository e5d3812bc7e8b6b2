#![doc = include_str!("../README.md")]

mod event;
mod log;
mod store;
mod subscription;

#[doc(hidden)]
pub use event::json;
pub use event::{
    BatchError, Event, EventError, EventId, EventKind, EventSource, ImportError, InvalidNameReason, NewEvent, checksum,
};
pub use log::{
    Append, Appended, DamagedEvent, EventLimits, EventLog, EventPage, EventReader, EventStats, ExpectedPosition,
    Interrupt, LogError, LogErrorKind, LogFinding, MemoryLog, OnDamaged, Order, ParkedEvent, PruneBound, Query,
    QueryParts, ReaderSource, RepairReport, RepairStep, SubscriptionName, Verification, recordable,
};
#[cfg(feature = "sqlite")]
pub use log::{Durability, SqliteLog, SqliteOptions};
pub use store::{
    ChainLink, EventChain, EventStorage, EventStore, EventStoreError, EventStoreLimits, Hold, Outage, QueryLimit,
    Retention, RetentionReport, SubscriptionError, TransferError,
};
pub use subscription::{
    DurableSubscription, EventSubscription, FailureRule, FailureVerdict, Forwarding, ForwardingEnd, SubscriptionSpec,
};
