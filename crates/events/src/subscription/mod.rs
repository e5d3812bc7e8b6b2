//! Following a log: the latest events, the position of a reader in them, and the subscriptions built on both.

mod durable;
mod failure_rule;
mod follower;
mod forwarding;
mod leases;
mod live;

pub use durable::DurableSubscription;
pub use failure_rule::{FailureRule, FailureVerdict};
pub(crate) use follower::{Chunk, ChunkRequest, Tail, TailReader};
pub use forwarding::{Forwarding, ForwardingEnd};
pub(crate) use leases::ConsumerLeases;
pub(crate) use live::SubscriptionStore;
pub use live::{EventSubscription, SubscriptionSpec};
