//! What discovery itself has decided in a namespace, for those who record it.
//!
//! # Invariants
//!
//! 1. A sender never waits for a reader: of a reader that is too slow the oldest notices are dropped, and it gets their number.
//! 2. A notice is sent after what it says has happened, and under no lock: a reader is woken by it.

use std::sync::OnceLock;
use std::time::Duration;

use foundation_kernel::containment::waking_contained;
use foundation_kernel::ractor::ActorId;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::choice::EjectionCause;
use crate::instance::InstanceName;

/// How many notices are kept for a slow reader.
const CAPACITY: usize = 1_024;

/// Something that discovery has decided.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub(crate) enum Notice {
    /// Too many leases were not renewed at the same time: none expires for now.
    PreservationBegan {
        /// How many leases should have been renewed within the window.
        expected: usize,
        /// How many were.
        renewed: usize,
    },
    /// Leases that are not renewed expire again.
    PreservationEnded {
        /// How long it lasted.
        lasted: Duration,
        /// How many instances it kept that have expired since.
        expired: usize,
    },
    /// An instance is out of rotation, since its calls fail.
    Ejected {
        /// The instance.
        instance: InstanceName,
        /// Its actor.
        actor: ActorId,
        /// Why.
        cause: EjectionCause,
        /// For how long.
        lasts: Duration,
    },
    /// An instance is not restarted although a check asks for it: too many of its service were restarted lately.
    RestartWithheld {
        /// The instance.
        instance: InstanceName,
        /// The check.
        check: String,
    },
}

/// Where notices are sent.
#[derive(Debug)]
pub(crate) struct Notices(OnceLock<broadcast::Sender<Notice>>);

impl Notices {
    pub(crate) fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Sends a notice to all readers.
    pub(crate) fn send(&self, notice: Notice) {
        // Without a reader it is dropped.
        let _ = self.0.get().map(|sender| sender.send(notice));
    }

    /// A reader of the notices that are sent from now on.
    pub(crate) fn reader(&self) -> NoticeReader {
        // Its room is made for the first reader: most namespaces have none.
        NoticeReader(self.0.get_or_init(|| broadcast::Sender::new(CAPACITY)).subscribe())
    }
}

/// What a reader finds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ReceivedNotice {
    /// The next notice.
    Notice(Notice),
    /// The reader was too slow: so many were dropped.
    Lagged(u64),
}

/// Reads notices in the order in which they were sent.
pub(crate) struct NoticeReader(broadcast::Receiver<Notice>);

impl NoticeReader {
    /// The next one; `None` once there is no sender. This method is cancel safe.
    pub(crate) async fn next(&mut self) -> Option<ReceivedNotice> {
        match waking_contained(self.0.recv()).await {
            Ok(notice) => Some(ReceivedNotice::Notice(notice)),
            Err(RecvError::Lagged(missed)) => Some(ReceivedNotice::Lagged(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn began(expected: usize) -> Notice {
        Notice::PreservationBegan { expected, renewed: 1 }
    }

    #[tokio::test]
    async fn a_slow_reader_gets_the_latest_notices_and_the_number_of_those_it_missed() {
        let notices = Notices::new();
        let mut reader = notices.reader();
        (0..CAPACITY + 3).for_each(|number| notices.send(began(number)));
        assert_eq!(reader.next().await, Some(ReceivedNotice::Lagged(3)));
        assert_eq!(reader.next().await, Some(ReceivedNotice::Notice(began(3))));
        drop(notices);
        let mut left = 0;
        while reader.next().await.is_some() {
            left += 1;
        }
        assert_eq!(left, CAPACITY - 1);
    }
}
