//! The task that records what happens to jobs: their ends, up to 256 at a time, at most 10 ms later.

use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::containment::report;
use foundation_kernel::supervision::TaskStop;
use tokio::time::timeout;

use super::shared::Shared;

/// How long a note waits for others.
const GATHER: Duration = Duration::from_millis(10);
/// How many jobs are carried on at a time.
const MAX_CARRIED: usize = 256;

/// Records notes until it is asked to stop, and then those that are left.
pub(crate) async fn record<T: Send + 'static>(shared: Arc<Shared<T>>, stop: TaskStop) {
    while !stop.is_requested() {
        tokio::select! {
            () = stop.requested() => break,
            () = shared.ledger.noted() => gather_and_record(&shared, &stop).await,
            () = shared.pruning.notified() => let_go(&shared).await,
        }
    }
    record_all(&shared).await;
}

async fn gather_and_record<T: Send + 'static>(shared: &Shared<T>, stop: &TaskStop) {
    let gathered = async {
        tokio::select! {
            () = shared.ledger.is_full() => {}
            () = stop.requested() => {}
        }
    };
    let _ = timeout(GATHER, gathered).await;
    record_all(shared).await;
    if shared.ledger.keeps_many(MAX_CARRIED) {
        let_go(shared).await;
    }
}

/// Records all notes, as soon as the store can.
async fn record_all<T: Send + 'static>(shared: &Shared<T>) {
    while let Err(error) = shared.record_notes().await {
        report(|| tracing::warn!(queue = %shared.queue, %error, "the ends of jobs are not recorded yet"));
        if shared.events.wait_until_up(None).await.is_err() {
            return;
        }
        // A store that is up and refuses is asked again after a while.
        #[expect(clippy::disallowed_methods, reason = "the delay is what this is for")]
        tokio::time::sleep(GATHER).await;
    }
}

/// Lets go of old events: the oldest unfinished jobs are recorded again. The feeder reads that, and moves the hold.
async fn let_go<T: Send + 'static>(shared: &Shared<T>) {
    if !shared.ledger.is_recovered() {
        return;
    }
    if let Err(error) = shared.carry(MAX_CARRIED).await {
        report(
            || tracing::warn!(queue = %shared.queue, %error, "unfinished jobs are not recorded again, and keep old events"),
        );
    }
    shared.look.notify_one();
}
