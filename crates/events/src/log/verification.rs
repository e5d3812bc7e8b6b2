use std::fmt;

use serde::Serialize;

use crate::EventId;

/// The most findings that are listed.
const MAX_LISTED: usize = 100;

/// The result of checking every event of a log, and every way to find it.
///
/// ```
/// use foundation_events::{MemoryLog, NewEvent};
///
/// let log = MemoryLog::new("production");
/// log.append(NewEvent::new("opened")?, std::time::SystemTime::now())?;
/// let verification = log.verify();
/// assert!(verification.is_clean());
/// assert_eq!(verification.to_string(), "1 event checked, no damage");
/// # Ok::<(), foundation_events::EventError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Events that were checked.
    pub checked: u64,
    /// The first 100 findings.
    pub findings: Vec<LogFinding>,
    /// How many there were.
    pub finding_count: u64,
}

/// What a verification has found: an event, or a way to find one, that is not as it was recorded.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogFinding {
    /// The event that it is about; `None` if it is about the log as a whole.
    pub event: Option<EventId>,
    /// What is wrong.
    pub reason: String,
}

impl Verification {
    /// Whether nothing is damaged.
    pub fn is_clean(&self) -> bool {
        self.finding_count == 0
    }

    /// Adds a finding; for implementors of [`EventLog`](crate::EventLog).
    pub fn add_finding(&mut self, event: impl Into<Option<EventId>>, reason: impl Into<String>) {
        self.finding_count += 1;
        if self.findings.len() < MAX_LISTED {
            self.findings.push(LogFinding { event: event.into(), reason: reason.into() });
        }
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |count, one: &str, more: &str| format!("{count} {}", if count == 1 { one } else { more });
        write!(f, "{} checked, ", count(self.checked, "event", "events"))?;
        match self.finding_count {
            0 => return f.write_str("no damage"),
            findings => f.write_str(&count(findings, "finding", "findings"))?,
        }
        self.findings.iter().try_for_each(|finding| write!(f, "\n  {finding}"))
    }
}

impl fmt::Display for LogFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.event {
            Some(id) => write!(f, "event {id}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_findings_all_are_counted_and_the_first_hundred_listed() {
        let mut found = Verification::default();
        for number in 1..=101 {
            found.add_finding(EventId::new(number), format!("damage {number}"));
        }
        assert_eq!((found.finding_count, found.findings.len(), found.is_clean()), (101, 100, false));
        let text = found.to_string();
        assert!(text.starts_with("0 events checked, 101 findings\n  event 1: damage 1\n"), "{text}");
        assert!(text.ends_with("event 100: damage 100"), "{text}");
    }
}
