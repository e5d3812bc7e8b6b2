//! Many exporters and many exports: the statistics are exact, and what an exporter held is given back.

use std::future::pending;
use std::sync::Arc;

use foundation_export::{Batch, ExportFault, ExportSchedule, Exported, Exporter, ExporterSpec, Target};
use futures::future::join_all;
use tokio::sync::{mpsc, oneshot};

use crate::setup::{Answer, LONG, Receiver, SECOND, every, start};

const EXPORTERS: usize = 32;
const ROUNDS: usize = 10;

#[tokio::test(start_paused = true)]
async fn the_statistics_of_many_exporters_are_those_that_are_counted_by_hand() {
    let (_foundation, exports) = start().await;
    let round = [Answer::Accept, Answer::Busy, Answer::Accept, Answer::Refuse, Answer::RefuseSome(2)];
    let mut kept = Vec::new();
    for number in 0..EXPORTERS {
        let (receiver, asked) = Receiver::new(round.iter().cloned().cycle().take(ROUNDS * round.len()));
        let spec = receiver.spec().schedule(ExportSchedule::on_demand());
        exports.register(&format!("receiver_{number}"), spec).await.unwrap();
        kept.push(asked);
    }
    tokio::task::yield_now().await;
    // Four exports a round: one succeeds at once, one at its second attempt, one fails, and of one two series are refused.
    let one = async |number: usize| {
        let name = format!("receiver_{number}");
        let mut series = 0;
        for _ in 0..4 * ROUNDS {
            let exported = exports.now(&name, LONG).await;
            series += exported.map_or(0, |exported| exported.series as u64);
        }
        let stats = exports.stats(&name).unwrap();
        let figures = (stats.attempts, stats.successes, stats.failures, stats.retries);
        let rounds = ROUNDS as u64;
        assert_eq!(figures, (5 * rounds, 3 * rounds, rounds, rounds), "{name}");
        assert_eq!((stats.bytes, stats.series_dropped, stats.series), (300 * rounds, 2 * rounds, series), "{name}");
        assert_eq!(stats.duration_ns.count, 3 * rounds);
        assert_eq!(stats.last_rejection.as_deref(), Some("unknown unit"));
        series
    };
    let series = join_all((0..EXPORTERS).map(one)).await;
    assert!(series.iter().all(|series| *series > 0));
}

/// Never ends, and holds this meanwhile.
struct Holds(Arc<()>, mpsc::UnboundedSender<()>);

impl Exporter for Holds {
    const FORMAT: &'static str = "json";

    fn target(&self) -> Target {
        Target::new("nowhere")
    }

    async fn export(&mut self, _: &Batch) -> Result<Exported, ExportFault> {
        let _held = Arc::clone(&self.0);
        self.1.send(()).map_err(ExportFault::fatal)?;
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_attempt_held_is_given_back_when_it_is_dropped_and_the_rest_with_the_exporter() {
    let (foundation, exports) = start().await;
    let held = Arc::new(());
    let (begun, mut begins) = mpsc::unbounded_channel();
    let held_too = Arc::clone(&held);
    let spec = ExporterSpec::new(move || Holds(Arc::clone(&held_too), begun.clone()));
    exports.register("holds", spec.schedule(every(10)).timeout(2 * SECOND)).await.unwrap();
    for _ in 0..50 {
        begins.recv().await.unwrap();
        // This one, the one of the specification, that of the exporter, and that of the attempt.
        assert_eq!(Arc::strong_count(&held), 4);
    }
    exports.unregister("holds").await.unwrap();
    drop(begins);
    foundation.shutdown().await;
    drop(exports);
    drop(foundation);
    assert_eq!(Arc::strong_count(&held), 1);
}

/// Blocks its thread until the test lets it go.
struct Blocks(Option<oneshot::Receiver<()>>, mpsc::UnboundedSender<()>);

impl Exporter for Blocks {
    const FORMAT: &'static str = "json";

    fn target(&self) -> Target {
        Target::new("nowhere")
    }

    async fn export(&mut self, _: &Batch) -> Result<Exported, ExportFault> {
        self.1.send(()).map_err(ExportFault::fatal)?;
        if let Some(released) = self.0.take() {
            let wait = || futures::executor::block_on(released);
            drop(std::thread::spawn(wait).join());
        }
        Ok(Exported::default())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_exporter_that_blocks_its_thread_delays_no_other() {
    let (_foundation, exports) = start().await;
    let (release, released) = oneshot::channel();
    let (begun, mut begins) = mpsc::unbounded_channel();
    let released = parking_lot::Mutex::new(Some(released));
    let spec = ExporterSpec::new(move || Blocks(released.lock().take(), begun.clone()));
    exports.register("blocks", spec.schedule(every(1))).await.unwrap();
    let (receiver, mut asked) = Receiver::new([]);
    exports.register("receiver", receiver.spec().schedule(ExportSchedule::on_demand())).await.unwrap();
    begins.recv().await.unwrap();
    for _ in 0..20 {
        exports.now("receiver", LONG).await.unwrap();
        asked.recv().await.unwrap();
    }
    release.send(()).unwrap();
}
