//! The limits of managed services.
//!
//! | of | limit |
//! |---|---|
//! | managed services of a namespace | [`MAX_MANAGED_SERVICES`] |
//! | kinds of a namespace | [`MAX_KINDS`] |
//! | operations of a batch | [`MAX_BATCH_OPERATIONS`] |
//! | requests that wait for the end of a batch or for a manager that takes over | [`MAX_WAITING_REQUESTS`] |

/// The largest number of kinds of managed services of a namespace.
pub const MAX_KINDS: usize = 256;
/// The largest number of managed services of a namespace.
pub const MAX_MANAGED_SERVICES: usize = 1_024;
/// The largest number of operations of a batch.
pub const MAX_BATCH_OPERATIONS: usize = 256;
/// The largest number of requests and batches that wait for the end of a batch, or until a manager that takes over knows
/// what runs, in each namespace.
pub const MAX_WAITING_REQUESTS: usize = 1_024;
