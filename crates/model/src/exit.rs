//! Why an actor ends does not matter here, only that it is reported.

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExitReason;

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("reported")
    }
}
