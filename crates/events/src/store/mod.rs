//! The event store of a namespace: the client, the actor, the one writer of the log and the readers beside it.

mod chain;
mod client;
mod composed;
mod error;
mod handle;
mod hold;
mod limits;
mod message;
mod outage;
mod readers;
mod retention;
mod server;
mod storage;
mod transfer;
mod writer;

pub use chain::{ChainLink, EventChain};
pub use client::EventStore;
pub use error::{EventStoreError, QueryLimit, SubscriptionError, TransferError};
pub use hold::Hold;
pub use limits::EventStoreLimits;
pub use outage::Outage;
pub use retention::{Retention, RetentionReport};
pub use storage::EventStorage;
