//! Jobs.

#[path = "batch.rs"]
pub(crate) mod batch;
#[path = "failure.rs"]
pub(crate) mod failure;
#[path = "../../../pool/src/job/id.rs"]
pub(crate) mod id;
#[path = "../../../pool/src/job/key.rs"]
pub(crate) mod key;
#[path = "../../../pool/src/job/record.rs"]
pub(crate) mod record;
