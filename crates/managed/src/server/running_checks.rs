//! The checks of one incarnation of a managed service.
//!
//! # Invariants
//!
//! 1. Of one service the checks of one generation run at a time: those before have ended, and what they found is
//!    forgotten.

use std::sync::Arc;

use foundation_discovery::{Discovery, InstanceRecord};
use foundation_kernel::containment::waking_contained;
use foundation_kernel::ractor::ActorId;
use futures::future::join_all;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::prepared::Prepared;

/// The checks that run of an incarnation. They end when this is dropped, or the incarnation is gone.
pub(crate) struct RunningChecks {
    actor: ActorId,
    /// The generation whose checks they are. A reload begins another one with the same actor.
    of: Arc<Prepared>,
    /// Dropped when they are to end.
    until: oneshot::Sender<()>,
    /// Closed when they have ended.
    ended: watch::Receiver<()>,
}

impl RunningChecks {
    /// Begins the checks of a generation when those before have ended.
    pub(crate) fn begin(
        tasks: &mut JoinSet<()>,
        discovery: Discovery,
        record: InstanceRecord,
        of: Arc<Prepared>,
        before: Option<Self>,
    ) -> Self {
        let ((until, is_over), (ending, ended)) = (oneshot::channel(), watch::channel(()));
        let checks = Self { actor: record.actor, of: Arc::clone(&of), until, ended };
        tasks.spawn(async move {
            if let Some(before) = before {
                before.end().await;
            }
            run(&discovery, &record, &of, is_over).await;
            drop(ending);
        });
        checks
    }

    /// Whether they are those of this generation of this incarnation.
    pub(crate) fn are_of(&self, record: &InstanceRecord, generation: &Arc<Prepared>) -> bool {
        self.actor == record.actor && Arc::ptr_eq(&self.of, generation)
    }

    /// Whether they say how this incarnation is.
    pub(crate) fn check(&self, record: &InstanceRecord) -> bool {
        self.actor == record.actor && !self.of.checks.is_empty()
    }

    async fn end(self) {
        let Self { until, mut ended, .. } = self;
        drop(until);
        // It fails when they have ended.
        let _ = waking_contained(ended.changed()).await;
    }
}

/// Runs checks until they are to end, and forgets what they have found.
async fn run(discovery: &Discovery, record: &InstanceRecord, of: &Prepared, is_over: oneshot::Receiver<()>) {
    let checks = of.checks.iter().map(|check| discovery.check_incarnation(record.clone(), check.clone()));
    tokio::select! {
        biased;
        _ = waking_contained(is_over) => {}
        _ = join_all(checks) => {}
    }
    // A later incarnation has its own.
    if discovery.instance(record.name()).is_some_and(|found| found.actor == record.actor) {
        for check in &of.checks {
            discovery.end_check(record.name(), check.name());
        }
    }
}
