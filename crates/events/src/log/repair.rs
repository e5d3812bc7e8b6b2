use serde::Serialize;

use crate::{DamagedEvent, EventId};

/// The most repaired events that are named one by one.
const MAX_NAMED: usize = 1_000;

/// A step of a repair of a log.
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RepairStep {
    /// The events that were moved aside, or were missing; each is replaced by one of the kind `event_lost`.
    pub moved: Vec<DamagedEvent>,
    /// Where the next step begins; `None` if this was the last one.
    pub next: Option<EventId>,
}

/// The outcome of a repair of a log.
///
/// ```
/// use foundation_events::{EventStorage, EventStore, NewEvent};
/// use foundation_kernel::names::{Namespace, ProcessRegistry};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let root = ProcessRegistry::builder()
/// #     .service(EventStore::service(EventStorage::memory()))
/// #     .start().await?;
/// # let events = EventStore::of(&root.namespace(Namespace::Production).await?);
/// events.append(NewEvent::new("opened")?).await?;
/// assert_eq!(events.repair().await?.moved_count, 0);
/// # root.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RepairReport {
    /// How many events were moved aside, or were missing.
    pub moved_count: u64,
    /// The first 1,000 of them.
    pub moved: Vec<DamagedEvent>,
}

impl RepairReport {
    pub(crate) fn add(&mut self, step: Vec<DamagedEvent>) {
        self.moved_count += step.len() as u64;
        let room = MAX_NAMED.saturating_sub(self.moved.len());
        self.moved.extend(step.into_iter().take(room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_repaired_events_all_are_counted_and_the_first_thousand_named() {
        let mut report = RepairReport::default();
        let damaged = |number| DamagedEvent::new(EventId::new(number).unwrap(), "its checksum is wrong");
        for step in [1..=999, 1_000..=1_998] {
            report.add(step.map(damaged).collect());
        }
        assert_eq!((report.moved_count, report.moved.len()), (1_998, 1_000));
        assert_eq!(report.moved[999].event.get(), 1_000);
    }
}
