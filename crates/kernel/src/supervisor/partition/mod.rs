//! One child many times, and a key to choose among them: Elixir's `PartitionSupervisor`.
//!
//! The partitions are the children `0`, `1`, … of an ordinary supervisor. Their current actors are in
//! [`PartitionSlots`](slots::PartitionSlots), one for each partition, which readers read without asking an actor.

mod error;
mod key;
mod slots;
mod supervisor;

pub use error::PartitionError;
pub use slots::Partition;
pub use supervisor::{PartitionSupervisor, PartitionSupervisorSpec};
