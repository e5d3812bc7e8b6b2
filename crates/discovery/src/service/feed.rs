//! Where the reporting of a namespace's instances has got to.
//!
//! # Invariants
//!
//! 1. It belongs to the namespace and not to the actor that reads it: an actor that is started again reads on, without a gap
//!    and without a repetition.
//! 2. One task reads it at a time. An event is given out once; between that and the observer nothing waits, so a task that
//!    is aborted loses none.
//! 3. It begins with the first use of discovery in the namespace: without it a registration pays nothing for it. What has
//!    come and gone before its task ran for the first time is not reported.

use std::collections::VecDeque;

use foundation_kernel::names::ServiceRegistry;
use tokio::sync::Mutex;
use tokio::task::coop::consume_budget;

use super::event::DiscoveryEvent;
use super::observer::Observer;
use super::reported::Reported;
use crate::client::{InstanceWatch, InstanceWatched, NoticeReader, ReceivedNotice};

/// The feed of a namespace, once it has begun.
#[derive(Default)]
pub(super) struct FeedSlot(Mutex<Option<Feed>>);

struct Feed {
    watch: InstanceWatch,
    notices: NoticeReader,
    reported: Reported,
    next: VecDeque<DiscoveryEvent>,
}

impl FeedSlot {
    /// Notifies the observer of each event, until the namespace ends. What is read is asked for once in a namespace.
    pub(super) async fn report(
        &self,
        names: &ServiceRegistry,
        begin: impl FnOnce() -> (NoticeReader, InstanceWatch),
        observer: &Observer,
    ) {
        let mut feed = self.0.lock().await;
        let feed = feed.get_or_insert_with(|| Feed::new(begin()));
        loop {
            // Before the next event is taken, since none may be lost here: a long snapshot does not hold up the other tasks.
            consume_budget().await;
            let Some(event) = feed.next().await else { return };
            observer.notify(names, &event);
        }
    }
}

impl Feed {
    fn new((notices, watch): (NoticeReader, InstanceWatch)) -> Self {
        Self { watch, notices, reported: Reported::default(), next: VecDeque::new() }
    }

    /// The next event; `None` when the namespace has ended. It is cancel safe.
    async fn next(&mut self) -> Option<DiscoveryEvent> {
        while self.next.is_empty() {
            // Not biased: many changes of one kind do not hold up the other.
            tokio::select! {
                watched = self.watch.next() => self.apply(watched?),
                noticed = self.notices.next() => self.notice(noticed?),
            }
        }
        self.next.pop_front()
    }

    fn apply(&mut self, watched: InstanceWatched) {
        self.next.extend(match watched {
            InstanceWatched::Snapshot(instances) => self.reported.reset(instances),
            InstanceWatched::Lagged { snapshot, .. } => self.reported.reset(snapshot),
            InstanceWatched::Change(change) => self.reported.apply(change),
        });
    }

    fn notice(&mut self, noticed: ReceivedNotice) {
        self.next.push_back(match noticed {
            ReceivedNotice::Notice(notice) => notice.into(),
            ReceivedNotice::Lagged(events) => DiscoveryEvent::Missed { events },
        });
    }
}
