//! Receivers of the numbers at each tick, and the tasks that they run on.
//!
//! # Invariants
//!
//! 1. Each export is a task of its own: one that panics, fails, or takes too long affects neither the service nor
//!    another exporter.
//! 2. An exporter does one export at a time. One that has taken longer than the limit is cancelled, and is busy until
//!    it has ended: code that blocks its thread cannot be cancelled.
//! 3. The latest numbers win: those that come while an exporter is busy wait for it, and replace any that are waiting.
//!    So a slow exporter is late, and gets the numbers of the last tick if there is time.
//! 4. The last values of retired series are not replaced: they wait beside the latest numbers and go first, and while
//!    they wait no further series is retired. An exporter that is over its limit counts no more, so that one which never
//!    ends keeps no series. Each exporter holds three scrapes at most.
//! 5. A caller that waits for exporters waits no longer than the limit.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::containment::{CaughtPanic, drop_contained, error_text, report};
use parking_lot::Mutex;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::JoinError;
use tokio::time::timeout;

use super::{Hub, Tick};
use crate::scrape::Scrape;

/// Why an export failed.
pub type ExportError = Box<dyn Error + Send + Sync>;

/// Takes the numbers of a namespace somewhere else.
///
/// It is called at each tick, and once more when the service stops, on a task of its own. An export may take as long as
/// [`TelemetryLimits::export`](crate::TelemetryLimits::export), on tokio's clock; then it is cancelled. Calls do not
/// overlap in a namespace. Numbers that come while an exporter is busy wait for it, and are replaced by newer ones, which
/// is counted in `telemetry.skipped_exports`, and logged the first time.
///
/// An export fails if it returns an error, panics or takes too long. That is counted in `telemetry.failed_exports` and
/// logged; the next tick comes nevertheless.
///
/// # Blocking
///
/// Code that blocks its thread, to write a file, say, belongs in
/// [`spawn_blocking`](tokio::task::spawn_blocking): otherwise it keeps a worker of the runtime from other tasks, or all
/// of them if the runtime has one thread. What was begun by `spawn_blocking` is not cancelled with the export, and the
/// end of the runtime waits for it: a blocking call needs a time limit of its own.
///
/// # Examples
///
/// Each closure of this form is an exporter:
///
/// ```
/// use std::sync::Arc;
///
/// use foundation_kernel::names::{Namespace, ProcessRegistry};
/// use foundation_telemetry::{Scrape, Telemetry, TelemetryOptions};
/// use tokio::sync::mpsc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let (to, mut from) = mpsc::channel(100);
/// let options = TelemetryOptions::new().exporter(move |scrape: Arc<Scrape>| {
///     let to = to.clone();
///     async move { Ok(to.send(scrape).await?) }
/// });
/// let root = ProcessRegistry::builder()
///     .service(Telemetry::service(options))
///     .start().await?;
/// let telemetry = Telemetry::of(&root.namespace(Namespace::Production).await?);
/// telemetry.count("orders");
/// root.shutdown().await;
/// let last = from.recv().await.expect("there is one when the service stops");
/// assert_eq!(last.to_snapshot().counter("orders"), Some(1));
/// # Ok(())
/// # }
/// ```
///
/// A type is one with an `async fn`:
///
/// ```
/// use std::path::PathBuf;
/// use std::sync::Arc;
///
/// use foundation_telemetry::{ExportError, Exporter, Scrape, prometheus_text};
///
/// /// Keeps the latest numbers in a file.
/// struct TextFile(PathBuf);
///
/// impl Exporter for TextFile {
///     async fn export(&self, scrape: Arc<Scrape>) -> Result<(), ExportError> {
///         let path = self.0.clone();
///         let write = move || std::fs::write(path, prometheus_text(std::slice::from_ref(&*scrape)));
///         Ok(tokio::task::spawn_blocking(write).await??)
///     }
/// }
/// ```
pub trait Exporter: Send + Sync + 'static {
    /// Exports the numbers.
    ///
    /// # Errors
    /// What went wrong, for the log.
    fn export(&self, scrape: Arc<Scrape>) -> impl Future<Output = Result<(), ExportError>> + Send;
}

impl<F, Export> Exporter for F
where
    F: Fn(Arc<Scrape>) -> Export + Send + Sync + 'static,
    Export: Future<Output = Result<(), ExportError>> + Send,
{
    fn export(&self, scrape: Arc<Scrape>) -> impl Future<Output = Result<(), ExportError>> + Send {
        self(scrape)
    }
}

/// An exporter of any type: begins an export.
pub(super) type AnyExporter =
    dyn Fn(Arc<Scrape>) -> Pin<Box<dyn Future<Output = Result<(), ExportError>> + Send>> + Send + Sync;

/// Forgets the type of an exporter.
pub(super) fn any_exporter(exporter: impl Exporter) -> Arc<AnyExporter> {
    let exporter = Arc::new(exporter);
    Arc::new(move |scrape| {
        let exporter = Arc::clone(&exporter);
        // The call itself is made on the task, too.
        Box::pin(async move { exporter.export(scrape).await })
    })
}

/// The exporters of one namespace. They outlive the actor, so that its restart starts no second export on a busy one.
pub(super) struct Exports {
    exporters: Vec<Arc<ExporterSlot>>,
    limit: Duration,
}

/// One exporter.
struct ExporterSlot {
    exporter: Arc<AnyExporter>,
    limit: Duration,
    queue: Mutex<Queue>,
}

impl Exports {
    pub(super) fn new(exporters: &[Arc<AnyExporter>], limit: Duration) -> Self {
        let slot = |exporter: &Arc<AnyExporter>| {
            Arc::new(ExporterSlot { exporter: Arc::clone(exporter), limit, queue: Mutex::default() })
        };
        Self { exporters: exporters.iter().map(slot).collect(), limit }
    }

    /// Whether each exporter would get the last values of series that are retired now (invariant 4).
    pub(super) fn keep_last_values(&self) -> bool {
        self.exporters.iter().all(|slot| slot.keeps_last_values())
    }

    /// Hands the numbers of a tick to all exporters. The returned future ends when all have exported it, or when the limit has
    /// passed.
    pub(super) fn hand_over(&self, hub: &Arc<Hub>, tick: Tick) -> impl Future<Output = ()> + Send + use<> {
        let (done, mut all_done) = mpsc::channel(1);
        let (scrape, limit) = (Arc::new(tick.scrape), self.limit);
        for slot in &self.exporters {
            let job = ExportJob { scrape: Arc::clone(&scrape), last_values: tick.retired, _done: done.clone() };
            slot.offer(hub, job);
        }
        drop(done);
        async move { drop(timeout(limit, all_done.recv()).await) }
    }
}

/// Numbers for one exporter.
struct ExportJob {
    scrape: Arc<Scrape>,
    /// Whether they have last values of retired series.
    last_values: bool,
    /// Dropped when it is done or superseded; a caller that waits is woken when the last one is dropped.
    _done: Sender<Infallible>,
}

/// The pending work of an exporter.
#[derive(Default)]
struct Queue {
    at_work: bool,
    /// Whether the export at work has taken longer than the limit.
    overdue: bool,
    /// The last values of retired series, which go first.
    last_values: Option<ExportJob>,
    /// The latest numbers.
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
        // What waits as the latest is older than a job that goes first, and would be exported after it.
        let replaced = match job.last_values && self.last_values.is_none() {
            true => {
                self.last_values = Some(job);
                self.next.take()
            }
            false => self.next.replace(job),
        };
        match replaced {
            None => Offered::Waits,
            Some(_) => Offered::Supersedes { first: !std::mem::replace(&mut self.reported, true) },
        }
    }

    /// The job after the finished one.
    fn next(&mut self) -> Option<ExportJob> {
        let next = self.last_values.take().or_else(|| self.next.take());
        self.at_work = next.is_some();
        self.overdue = false;
        self.reported &= self.at_work;
        next
    }
}

impl ExporterSlot {
    /// Whether last values of retired series would not be replaced.
    fn keeps_last_values(&self) -> bool {
        let queue = self.queue.lock();
        queue.overdue || queue.last_values.is_none()
    }

    fn offer(self: &Arc<Self>, hub: &Arc<Hub>, job: ExportJob) {
        let offered = self.queue.lock().offer(job);
        match offered {
            Offered::Begin(job) => drop(tokio::spawn(Arc::clone(self).work(Arc::clone(hub), job))),
            Offered::Waits => {}
            Offered::Supersedes { first } => report_skipped(hub, first),
        }
    }

    /// Exports for as long as there is work.
    async fn work(self: Arc<Self>, hub: Arc<Hub>, first: ExportJob) {
        let mut job = Some(first);
        while let Some(now) = job {
            self.export(&hub, Arc::clone(&now.scrape)).await;
            // Noted before the waiter is woken.
            job = self.queue.lock().next();
            drop(now);
        }
    }

    /// Exports once, and returns when the exporter is free again.
    async fn export(&self, hub: &Hub, scrape: Arc<Scrape>) {
        let mut export = tokio::spawn((self.exporter)(scrape));
        if let Ok(ended) = timeout(self.limit, &mut export).await {
            return outcome(ended).unwrap_or_else(|cause| report_failed(hub, &cause));
        }
        self.queue.lock().overdue = true;
        // Reported before the end is awaited, which does not come while the exporter blocks its thread.
        report_failed(hub, &format!("it has taken longer than {:?}", self.limit));
        export.abort();
        drop_contained("the result of a telemetry exporter", export.await);
    }
}

fn report_skipped(hub: &Hub, first: bool) {
    hub.self_metrics.skipped_exports.bare().increment();
    let namespace = hub.namespace;
    if first {
        report(|| tracing::warn!(%namespace, "a telemetry exporter does not keep up, and skips numbers"));
    }
}

fn report_failed(hub: &Hub, cause: &str) {
    hub.self_metrics.failed_exports.bare().increment();
    let namespace = hub.namespace;
    report(|| tracing::warn!(%namespace, cause, "telemetry could not be exported"));
}

/// The outcome of an export, or the text of its error. The error, its text and its destructor are foreign code.
fn outcome(ended: Result<Result<(), ExportError>, JoinError>) -> Result<(), String> {
    match ended {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            let text = error_text(&*error);
            drop_contained("the error of a telemetry exporter", error);
            Err(text)
        }
        Err(ended) => Err(match ended.try_into_panic() {
            Ok(payload) => format!("the exporter panicked: {}", CaughtPanic::of(payload)),
            Err(cancelled) => cancelled.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use foundation_kernel::names::Namespace;
    use tokio::sync::mpsc::Receiver;

    use std::time::SystemTime;

    use super::*;

    fn job() -> (ExportJob, Receiver<Infallible>) {
        let (done, all_done) = mpsc::channel(1);
        let scrape = Scrape { namespace: Namespace::Production, taken_at: SystemTime::now(), families: Vec::new() };
        (ExportJob { scrape: Arc::new(scrape), last_values: false, _done: done }, all_done)
    }

    fn last_values() -> ExportJob {
        ExportJob { last_values: true, ..job().0 }
    }

    fn is_over(done: &mut Receiver<Infallible>) -> bool {
        done.try_recv() == Err(mpsc::error::TryRecvError::Disconnected)
    }

    #[test]
    fn the_latest_numbers_take_the_place_of_those_that_wait() {
        let mut queue = Queue::default();
        let [(first, mut first_done), (second, mut second_done), (third, mut third_done), (fourth, _fourth_done)] =
            std::array::from_fn(|_| job());
        let Offered::Begin(first) = queue.offer(first) else { panic!("it is free") };
        assert!(matches!(queue.offer(second), Offered::Waits));
        assert!(matches!(queue.offer(third), Offered::Supersedes { first: true }));
        assert!(is_over(&mut second_done) && !is_over(&mut first_done) && !is_over(&mut third_done));
        assert!(matches!(queue.offer(fourth), Offered::Supersedes { first: false }));
        drop(first);
        assert!(is_over(&mut first_done) && is_over(&mut third_done));
        assert!(queue.next().is_some());
        assert!(queue.next().is_none());
        // An exporter that has caught up and falls behind again is reported again.
        let [(first, _), (second, _), (third, _)] = std::array::from_fn(|_| job());
        assert!(matches!(queue.offer(first), Offered::Begin(_)));
        assert!(matches!(queue.offer(second), Offered::Waits));
        assert!(matches!(queue.offer(third), Offered::Supersedes { first: true }));
    }

    #[test]
    fn the_last_values_of_retired_series_are_not_replaced_and_go_first() {
        let mut queue = Queue::default();
        assert!(matches!(queue.offer(last_values()), Offered::Begin(_)));
        assert!(matches!(queue.offer(job().0), Offered::Waits));
        assert!(matches!(queue.offer(last_values()), Offered::Supersedes { first: true }));
        assert!(matches!(queue.offer(job().0), Offered::Waits));
        assert!(matches!(queue.offer(job().0), Offered::Supersedes { first: false }));
        assert!(queue.next().is_some_and(|job| job.last_values));
        assert!(queue.next().is_some_and(|job| !job.last_values));
        assert!(queue.next().is_none());
    }
}
