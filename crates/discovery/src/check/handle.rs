//! The handle of a declared check.

use std::fmt;
use std::sync::Arc;

use super::declared::DeclaredChecks;

/// A check that is [declared](crate::Discovery::check) in a namespace. It goes on when this is dropped.
pub struct CheckHandle {
    declared: Arc<DeclaredChecks>,
    number: u64,
    name: String,
}

impl CheckHandle {
    pub(crate) fn new(declared: Arc<DeclaredChecks>, number: u64, name: String) -> Self {
        Self { declared, number, name }
    }

    /// The name of the check.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends the check. What it has found of its instances is forgotten soon afterwards, by the task that runs it.
    pub fn end(self) {
        self.declared.remove(self.number);
    }
}

impl fmt::Debug for CheckHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckHandle").field("name", &self.name).finish_non_exhaustive()
    }
}
