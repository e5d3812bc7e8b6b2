//! Why an actor ended: the only place that reads ractor's reason texts.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// ractor's reason for an actor that was killed.
const KILLED: &str = "killed";
/// ractor's reason for an actor whose task was aborted, or whose runtime was dropped.
const CANCELLED: &str = "actor_task_cancelled";
/// ractor's reason for an actor that was drained.
const DRAINED: &str = "Drained";
/// The reason with which a supervisor stops a child, and its own when it gives up.
pub(crate) const SHUTDOWN: &str = "shutdown";

/// Why an actor ended, in OTP's terms.
///
/// ractor reports it as an optional text, which is read here and nowhere else.
///
/// | ractor | here | OTP |
/// |---|---|---|
/// | stopped without a reason, or drained | [`Normal`](ExitReason::Normal) | `normal` |
/// | stopped with a reason | [`Shutdown`](ExitReason::Shutdown) | `shutdown`, `{shutdown, Reason}` |
/// | killed, task aborted, runtime dropped | [`Killed`](ExitReason::Killed) | `killed` |
/// | panic, or `Err` from a handler | [`Failed`](ExitReason::Failed) | any other reason |
///
/// ```
/// use foundation_kernel::supervision::ExitReason;
///
/// assert!(!ExitReason::Normal.is_abnormal());
/// assert!(ExitReason::Killed.is_abnormal());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitReason {
    /// It ended by itself, with its work done.
    Normal,
    /// It was asked to stop, with this reason.
    Shutdown(Arc<str>),
    /// It was killed: its `post_stop` did not run.
    Killed,
    /// It panicked or returned an error; the text is the error's, causes included.
    Failed(Arc<str>),
}

impl ExitReason {
    /// Whether a [`Transient`](crate::supervision::Restart::Transient) child is restarted after it.
    pub const fn is_abnormal(&self) -> bool {
        matches!(self, Self::Killed | Self::Failed(_))
    }

    /// The meaning of the text that ractor gives.
    pub(crate) fn from_text(text: Option<&str>) -> Self {
        match text {
            None | Some(DRAINED) => Self::Normal,
            Some(KILLED | CANCELLED) => Self::Killed,
            Some(text) => Self::Shutdown(text.into()),
        }
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.pad("normal"),
            Self::Shutdown(text) if &**text == SHUTDOWN => f.pad(SHUTDOWN),
            Self::Shutdown(text) => write!(f, "shutdown: {text}"),
            Self::Killed => f.pad("killed"),
            Self::Failed(text) => write!(f, "failed: {text}"),
        }
    }
}

/// As its text.
impl Serialize for ExitReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A stop reason that ractor uses for something else, and that would be misread.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stop reason {found:?} is reserved: a supervisor would take it for a {means}; use any other text")]
pub struct ReservedReason {
    found: String,
    means: &'static str,
}

/// Checks a text before it is given to ractor's `stop` as a reason.
///
/// # Errors
/// [`ReservedReason`] for the three texts by which ractor itself reports a kill, an aborted task and a drain.
pub fn check_stop_reason(reason: &str) -> Result<(), ReservedReason> {
    let means = match reason {
        KILLED | CANCELLED => "kill",
        DRAINED => "drained mailbox",
        _ => return Ok(()),
    };
    Err(ReservedReason { found: reason.to_owned(), means })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_of_ractor_has_one_meaning() {
        let read = |text| ExitReason::from_text(Some(text));
        assert_eq!(ExitReason::from_text(None), ExitReason::Normal);
        assert_eq!(read("Drained"), ExitReason::Normal);
        assert_eq!(read("killed"), ExitReason::Killed);
        assert_eq!(read("actor_task_cancelled"), ExitReason::Killed);
        assert_eq!(read("done for today"), ExitReason::Shutdown("done for today".into()));
    }

    #[test]
    fn a_reserved_stop_reason_is_refused_and_says_what_it_would_be_taken_for() {
        assert!(check_stop_reason("killed").unwrap_err().to_string().contains("kill"));
        assert!(check_stop_reason("Drained").is_err());
        assert!(check_stop_reason("maintenance").is_ok());
    }
}
