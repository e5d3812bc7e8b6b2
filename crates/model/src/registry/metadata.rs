//! Metadata without content.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metadata;

pub(crate) struct Description {
    pub(crate) version: u64,
    pub(crate) metadata: Metadata,
}
