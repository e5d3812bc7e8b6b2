//! Why an actor ends does not matter here.

#[derive(Debug, Clone)]
pub(crate) struct ExitReason;
