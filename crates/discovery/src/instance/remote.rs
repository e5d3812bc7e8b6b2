//! Instances outside of this process.

use foundation_kernel::local_message;

/// The message type of instances outside of this process: there is no message to them, their
/// [endpoint](crate::Instance::endpoint) says how they are reached.
#[derive(Debug)]
pub enum Remote {}
local_message!(Remote);
