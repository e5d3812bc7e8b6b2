//! The limits of managed services.
//!
//! | of | limit |
//! |---|---|
//! | managed services of a namespace | [`MAX_MANAGED_SERVICES`] |
//! | operations of a batch | [`MAX_BATCH_OPERATIONS`] |

/// The largest number of kinds of managed services of a namespace.
pub const MAX_KINDS: usize = 256;
/// The largest number of managed services of a namespace.
pub const MAX_MANAGED_SERVICES: usize = 1_024;
/// The largest number of operations of a batch.
pub const MAX_BATCH_OPERATIONS: usize = 256;
