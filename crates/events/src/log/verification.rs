use std::fmt;

use serde::Serialize;

use crate::EventId;

/// The most faults that are listed.
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
/// assert_eq!(verification.to_string(), "1 event checked, no fault");
/// # Ok::<(), foundation_events::EventError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Events that were checked.
    pub checked: u64,
    /// Faults that were found.
    pub faulty: u64,
    /// The first 100 of them.
    pub faults: Vec<LogFault>,
}

/// Something in a log that cannot be as it was recorded.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogFault {
    /// The event that it is about; `None` if it is about the log as a whole.
    pub event: Option<EventId>,
    /// What is wrong.
    pub what: String,
}

impl Verification {
    /// Whether there is no fault.
    pub fn is_clean(&self) -> bool {
        self.faulty == 0
    }

    /// Adds a fault; for implementors of [`EventLog`](crate::EventLog).
    pub fn fault(&mut self, event: impl Into<Option<EventId>>, what: impl Into<String>) {
        self.faulty += 1;
        if self.faults.len() < MAX_LISTED {
            self.faults.push(LogFault { event: event.into(), what: what.into() });
        }
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |count, one: &str| if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") };
        write!(f, "{} checked, ", count(self.checked, "event"))?;
        match self.faulty {
            0 => return f.write_str("no fault"),
            faulty => f.write_str(&count(faulty, "fault"))?,
        }
        self.faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl fmt::Display for LogFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.event {
            Some(id) => write!(f, "event {id}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_faults_all_are_counted_and_the_first_hundred_listed() {
        let mut found = Verification::default();
        for number in 1..=101 {
            found.fault(EventId::new(number), format!("fault {number}"));
        }
        assert_eq!((found.faulty, found.faults.len(), found.is_clean()), (101, 100, false));
        let text = found.to_string();
        assert!(text.starts_with("0 events checked, 101 faults\n  event 1: fault 1\n"), "{text}");
        assert!(text.ends_with("event 100: fault 100"), "{text}");
    }
}
