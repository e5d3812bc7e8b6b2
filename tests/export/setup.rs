//! A foundation with exporters whose outcomes a test prescribes.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use foundation::Foundation;
use foundation_export::{Batch, ExportFault, ExportSchedule, Exported, Exporter, ExporterSpec, Exports, Target};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const LONG: Duration = Duration::from_secs(3_600);

/// A foundation whose namespaces have exporters.
pub(crate) async fn start() -> (Foundation, Exports) {
    let foundation = Foundation::builder().service(Exports::service()).start().await.unwrap();
    let exports = Exports::of(foundation.production().registry());
    (foundation, exports)
}

pub(crate) fn every(seconds: u64) -> ExportSchedule {
    ExportSchedule::every(Duration::from_secs(seconds)).unwrap()
}

/// What the receiver answers to an attempt; without one it accepts.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Accept,
    Busy,
    BusyFor(Duration),
    Refuse,
    RefuseSome(usize),
    Never,
    Panic,
}

/// A receiver of numbers: what it answers next, and when it was asked.
#[derive(Clone)]
pub(crate) struct Receiver {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: mpsc::UnboundedSender<Instant>,
}

impl Receiver {
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> (Self, mpsc::UnboundedReceiver<Instant>) {
        let (asked, times) = mpsc::unbounded_channel();
        (Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), asked }, times)
    }

    /// An exporter to this receiver, each ten seconds.
    pub(crate) fn spec(&self) -> ExporterSpec {
        let receiver = self.clone();
        ExporterSpec::new(move || ToReceiver(receiver.clone())).schedule(every(10))
    }
}

struct ToReceiver(Receiver);

impl Exporter for ToReceiver {
    const FORMAT: &'static str = "json";

    fn target(&self) -> Target {
        Target::new("a receiver")
    }

    async fn export(&mut self, batch: &Batch) -> Result<Exported, ExportFault> {
        // The test may not read the times.
        let _ = self.0.asked.send(Instant::now());
        let answer = self.0.answers.lock().pop_front().unwrap_or(Answer::Accept);
        match answer {
            Answer::Accept => Ok(Exported::new(100, batch.series())),
            Answer::Busy => Err(ExportFault::retry("503 Service Unavailable")),
            Answer::BusyFor(time) => Err(ExportFault::retry_after("429 Too Many Requests", time)),
            Answer::Refuse => Err(ExportFault::fatal("400 Bad Request")),
            Answer::RefuseSome(series) => Ok(Exported::new(100, batch.series()).rejected(series, "unknown unit")),
            Answer::Never => pending().await,
            Answer::Panic => panic!("an exporter of the test"),
        }
    }
}

/// The next so many times at which a receiver was asked, since a moment.
pub(crate) async fn times(asked: &mut mpsc::UnboundedReceiver<Instant>, since: Instant, many: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    while times.len() < many {
        times.push(asked.recv().await.unwrap() - since);
    }
    times
}

/// As long as it is there, a paused clock moves only when it is advanced, also while sockets are waited for: tokio lets it stand
/// while a blocking task runs.
pub(crate) struct StoppedClock(
    #[expect(dead_code, reason = "dropped, it ends the blocking task")] std::sync::mpsc::Sender<()>,
);

impl StoppedClock {
    pub(crate) fn new() -> Self {
        let (sender, dropped) = std::sync::mpsc::channel();
        tokio::task::spawn_blocking(move || dropped.recv());
        Self(sender)
    }
}
