//! The exporters of one namespace and their threads.
//!
//! # Invariants
//!
//! 1. An exporter runs on a thread of its own, and does one export at a time. It never holds up a worker of the
//!    runtime, another exporter, or the end of the runtime.
//! 2. The latest numbers win: those that come while an exporter is busy wait for it, and replace any that are waiting.
//!    So a slow exporter is late, a blocked one holds two scrapes, and both get the numbers of the last tick if there
//!    is time for it.
//! 3. A caller that waits for exporters waits no longer than the limit.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use foundation_kernel::containment::{catch_panic, drop_contained, error_text, report};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tracing::dispatcher::{self, Dispatch};

use super::exporter::{ExportError, Exporter};
use super::hub::Hub;
use super::scrape::Scrape;

/// They outlive the actor, so that a restart does not start a second thread for a busy exporter.
pub(super) struct Exports {
    exporters: Vec<Arc<ExporterSlot>>,
    limit: Duration,
}

/// One exporter.
struct ExporterSlot {
    exporter: Arc<dyn Exporter>,
    queue: Mutex<Queue>,
}

impl Exports {
    pub(super) fn new(exporters: &[Arc<dyn Exporter>], limit: Duration) -> Self {
        let slot =
            |exporter: &Arc<dyn Exporter>| ExporterSlot { exporter: Arc::clone(exporter), queue: Mutex::default() };
        Self { exporters: exporters.iter().map(|exporter| Arc::new(slot(exporter))).collect(), limit }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exporters.is_empty()
    }

    /// Hands a scrape to all exporters, and waits for none.
    pub(super) fn hand_over(&self, hub: &Arc<Hub>, scrape: Scrape) -> UnderWay {
        let (done, all_done) = mpsc::channel();
        let scrape = Arc::new(scrape);
        for slot in &self.exporters {
            slot.offer(hub, ExportJob { scrape: Arc::clone(&scrape), _done: done.clone() });
        }
        UnderWay { all_done, limit: self.limit }
    }
}

/// Exports of one tick.
pub(super) struct UnderWay {
    /// Closed when the last job is done.
    all_done: Receiver<Infallible>,
    limit: Duration,
}

impl UnderWay {
    /// Waits until all are done, or until the limit has passed.
    pub(super) async fn wait(self) {
        let Self { all_done, limit } = self;
        // A thread waits, and in real time: exporters do not know of tokio's clock. While it waits, a paused clock does
        // not advance by itself.
        let waiting = tokio::task::spawn_blocking(move || all_done.recv_timeout(limit).is_err());
        // If all threads of the runtime are blocked the waiting does not even begin.
        drop(tokio::time::timeout(limit * 2, waiting).await);
    }
}

/// Numbers for one exporter.
struct ExportJob {
    scrape: Arc<Scrape>,
    /// Dropped when it is done or superseded.
    _done: Sender<Infallible>,
}

/// The pending work of an exporter.
#[derive(Default)]
struct Queue {
    at_work: bool,
    next: Option<ExportJob>,
    /// Whether it has been reported that it is too slow.
    reported: bool,
}

/// The outcome of offering a job.
enum Offered {
    /// The exporter is free.
    Begin(ExportJob),
    /// It is busy, and does this job next.
    Waits,
    /// The same, and this job replaces another one.
    Supersedes {
        /// Whether it is the first time, which is reported.
        first: bool,
    },
}

impl Queue {
    fn offer(&mut self, job: ExportJob) -> Offered {
        if !self.at_work {
            self.at_work = true;
            return Offered::Begin(job);
        }
        match self.next.replace(job) {
            None => Offered::Waits,
            Some(_) => Offered::Supersedes { first: !std::mem::replace(&mut self.reported, true) },
        }
    }

    /// The job after the finished one.
    fn next(&mut self) -> Option<ExportJob> {
        let next = self.next.take();
        self.at_work = next.is_some();
        self.reported &= self.at_work;
        next
    }
}

impl ExporterSlot {
    fn offer(self: &Arc<Self>, hub: &Arc<Hub>, job: ExportJob) {
        let offered = self.queue.lock().offer(job);
        match offered {
            Offered::Begin(job) => self.begin(hub, job),
            Offered::Waits => {}
            Offered::Supersedes { first } => {
                hub.self_metrics.skipped_exports.increment();
                let namespace = hub.namespace();
                if first {
                    report(|| tracing::warn!(%namespace, "a telemetry exporter does not keep up, and skips numbers"));
                }
            }
        }
    }

    /// Starts a thread for as long as there is work. It inherits the caller's runtime, for exporters that spawn, and
    /// its subscriber of `tracing`.
    fn begin(self: &Arc<Self>, hub: &Arc<Hub>, job: ExportJob) {
        let (slot, exporting) = (Arc::clone(self), Arc::clone(hub));
        let (runtime, subscriber) = (Handle::current(), dispatcher::get_default(Dispatch::clone));
        let work = move || {
            let _runtime = runtime.enter();
            dispatcher::with_default(&subscriber, || slot.work(&exporting, job));
            drop_contained("a telemetry exporter", slot);
        };
        if let Err(error) = thread::Builder::new().name("telemetry-export".into()).spawn(work) {
            self.queue.lock().next();
            fail(hub, &format!("there is no thread for it: {error}"));
        }
    }

    fn work(&self, hub: &Hub, first: ExportJob) {
        let mut job = Some(first);
        while let Some(now) = job {
            if let Err(cause) = exported(&*self.exporter, &now.scrape) {
                fail(hub, &cause);
            }
            // Noted before the waiter is woken.
            job = self.queue.lock().next();
            drop(now);
        }
    }
}

fn fail(hub: &Hub, cause: &str) {
    hub.self_metrics.failed_exports.increment();
    let namespace = hub.namespace();
    report(|| tracing::warn!(%namespace, cause, "telemetry could not be exported"));
}

fn exported(exporter: &dyn Exporter, scrape: &Scrape) -> Result<(), String> {
    // The error, its text and its destructor are foreign code as well.
    let failed = |error: ExportError| {
        let text = error_text(&*error);
        drop_contained("the error of a telemetry exporter", error);
        text
    };
    match catch_panic(|| exporter.export(scrape)) {
        Ok(result) => result.map_err(failed),
        Err(panic) => Err(format!("the exporter panicked: {panic}")),
    }
}

#[cfg(test)]
mod tests {
    use foundation_kernel::Namespace;

    use super::*;

    fn job() -> (ExportJob, Receiver<Infallible>) {
        let (done, all_done) = mpsc::channel();
        let scrape = Scrape { namespace: Namespace::Production, families: Vec::new() };
        (ExportJob { scrape: Arc::new(scrape), _done: done }, all_done)
    }

    fn is_over(done: &Receiver<Infallible>) -> bool {
        done.try_recv() == Err(mpsc::TryRecvError::Disconnected)
    }

    #[test]
    fn the_latest_numbers_take_the_place_of_those_that_wait() {
        let mut queue = Queue::default();
        let [(first, first_done), (second, second_done), (third, third_done), (fourth, _fourth_done)] =
            std::array::from_fn(|_| job());
        let Offered::Begin(first) = queue.offer(first) else { panic!("it is free") };
        assert!(matches!(queue.offer(second), Offered::Waits));
        assert!(matches!(queue.offer(third), Offered::Supersedes { first: true }));
        assert!(is_over(&second_done) && !is_over(&first_done) && !is_over(&third_done));
        assert!(matches!(queue.offer(fourth), Offered::Supersedes { first: false }));
        drop(first);
        assert!(is_over(&first_done) && is_over(&third_done));
        assert!(queue.next().is_some());
        assert!(queue.next().is_none());
        // An exporter that has caught up and falls behind again is reported again.
        let [(first, _), (second, _), (third, _)] = std::array::from_fn(|_| job());
        assert!(matches!(queue.offer(first), Offered::Begin(_)));
        assert!(matches!(queue.offer(second), Offered::Waits));
        assert!(matches!(queue.offer(third), Offered::Supersedes { first: true }));
    }
}
