//! The queue, its waits, and its claims.

#[path = "../../../pool/src/queue/accounts.rs"]
pub(crate) mod accounts;
#[path = "../../../pool/src/queue/claim.rs"]
pub(crate) mod claim;
#[path = "../../../pool/src/queue/claim_cell.rs"]
pub(crate) mod claim_cell;
#[path = "../../../pool/src/queue/delayed.rs"]
pub(crate) mod delayed;
#[path = "../../../pool/src/queue/job_queue.rs"]
pub(crate) mod job_queue;
#[path = "../../../pool/src/queue/keys.rs"]
pub(crate) mod keys;
#[path = "../../../pool/src/queue/lanes.rs"]
pub(crate) mod lanes;
#[path = "../../../pool/src/queue/priorities.rs"]
pub(crate) mod priorities;
#[path = "rate.rs"]
pub(crate) mod rate;
#[path = "../../../pool/src/queue/rules.rs"]
pub(crate) mod rules;
#[path = "../../../pool/src/queue/state.rs"]
pub(crate) mod state;
#[path = "../../../pool/src/queue/turn.rs"]
pub(crate) mod turn;
#[path = "../../../pool/src/queue/waiters.rs"]
pub(crate) mod waiters;
