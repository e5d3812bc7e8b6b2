//! Events: recorded facts, and the log that keeps them.
//!
//! An [`Event`] says what has happened, in the past tense (`config_updated`). A [`NewEvent`] is not recorded yet; an
//! [`EventLog`] records it, which gives it an [`EventId`] and a time. Both are plain data. The [`EventStore`] puts a
//! log behind an actor, one in each namespace.

mod append;
mod causes;
mod chain;
mod checksum;
mod chunk;
mod client;
mod clock;
mod combining_queue;
mod commit_group;
mod consumer_leases;
#[cfg(test)]
mod contract;
mod damaged;
mod durable_subscription;
mod error;
mod event;
mod export;
mod failure;
mod failure_rule;
mod follower;
mod forwarding;
mod hold;
mod id;
mod importing;
mod interrupt;
mod job;
#[doc(hidden)]
pub mod json;
mod kind;
mod limits;
mod line;
mod log;
mod memory;
mod memory_table;
#[cfg(test)]
mod model;
mod new_event;
mod on_damaged;
mod outage;
mod page;
mod parked;
mod pause;
mod plausible_clock;
mod query;
mod readers;
mod reading;
mod refusal;
mod repair;
mod retention;
mod ring;
mod server;
mod source;
#[cfg(feature = "sqlite")]
mod sqlite;
mod stand_in;
mod stats;
mod storage;
mod store_error;
mod store_limits;
mod subscribing;
mod subscription;
mod subscription_error;
mod subscription_name;
mod subscription_spec;
mod tail;
#[cfg(test)]
mod tests;
mod transfer;
mod verification;
mod writer;
mod writer_handle;

pub use append::{Append, Appended, ExpectedPosition};
pub use chain::{ChainLink, EventChain};
pub use checksum::checksum;
pub use client::EventStore;
pub use damaged::DamagedEvent;
pub use durable_subscription::DurableSubscription;
pub use error::{EventError, KindFault};
pub use event::Event;
pub use failure::{LogFailure, LogFailureKind};
pub use failure_rule::{FailureRule, FailureVerdict};
pub use forwarding::{Forwarding, ForwardingEnd};
pub use hold::Hold;
pub use id::EventId;
pub use interrupt::Interrupt;
pub use kind::EventKind;
pub use limits::EventLimits;
pub use log::{EventLog, EventReader, PruneBound, ReaderSource, recordable};
pub use memory::MemoryLog;
pub use new_event::NewEvent;
pub use on_damaged::OnDamaged;
pub use outage::Outage;
pub use page::EventPage;
pub use parked::ParkedEvent;
pub use query::{Order, Query};
pub use refusal::{EventRefusal, ImportRefusal};
pub use repair::{RepairReport, RepairStep};
pub use retention::{Retention, RetentionReport};
pub use source::EventSource;
#[cfg(feature = "sqlite")]
pub use sqlite::{Durability, SqliteLog, SqliteOptions};
pub use stats::EventStats;
pub use storage::EventStorage;
pub use store_error::{EventStoreError, QueryLimit, TransferError};
pub use store_limits::EventStoreLimits;
pub use subscription::EventSubscription;
pub use subscription_error::SubscriptionError;
pub use subscription_name::SubscriptionName;
pub use subscription_spec::SubscriptionSpec;
pub use verification::{LogFault, Verification};
