//! Metadata without content.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metadata;
