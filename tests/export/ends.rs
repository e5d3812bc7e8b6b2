//! What is left of an exporter at its end, and what foreign code may do at it.

use std::future::pending;
use std::pin::Pin;
use std::task::{Context, Poll};

use foundation::Foundation;
use foundation::events::Query;
use foundation::supervision::{Health, Strategy, Supervisor, SupervisorSpec};
use foundation_export::{
    Batch, ExportError, ExportFault, ExportSchedule, Exported, Exporter, ExporterSpec, Exports, Target,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::setup::{Answer, LONG, Receiver, SECOND, start, times};

/// Exporters below a supervisor that a test can end.
async fn supervised() -> (Foundation, Supervisor, Exports) {
    let foundation = Foundation::builder().start().await.unwrap();
    let names = foundation.production().registry().clone();
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(Exports::child_spec(&names));
    let supervisor = Supervisor::start("exporters", spec).await.unwrap();
    let exports = Exports::of(&names);
    (foundation, supervisor, exports)
}

/// An exporter, and the future of its export, that panic wherever they can.
struct Panics;

impl Drop for Panics {
    fn drop(&mut self) {
        panic!("a destructor of the test")
    }
}

impl Future for Panics {
    type Output = Result<Exported, ExportFault>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        panic!("an export of the test")
    }
}

impl Exporter for Panics {
    const FORMAT: &'static str = "json";

    fn target(&self) -> Target {
        Target::new("nowhere")
    }

    fn export(&mut self, _: &Batch) -> impl Future<Output = Result<Exported, ExportFault>> + Send {
        Panics
    }
}

#[tokio::test(start_paused = true)]
async fn an_exporter_whose_destructors_panic_while_it_panics_takes_no_other_along() {
    let (_foundation, exports) = start().await;
    let (sender, mut made) = mpsc::unbounded_channel();
    let make = move || {
        // The test may not count the lives.
        let _ = sender.send(());
        Panics
    };
    exports.register("panics", ExporterSpec::new(make)).await.unwrap();
    let ended = exports.now("panics", LONG).await.unwrap_err();
    assert!(matches!(ended, ExportError::NotRunning { .. }), "{ended}");
    assert_eq!(exports.stats("panics").unwrap().last_error.as_deref(), Some("the exporter panicked"));
    made.recv().await.unwrap();
    made.recv().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_exporter_that_is_removed_while_it_waits_for_its_restart_exports_nothing_more() {
    let (_foundation, exports) = start().await;
    let (receiver, mut asked) = Receiver::new([Answer::Panic]);
    exports.register("receiver", receiver.spec()).await.unwrap();
    drop(receiver);
    times(&mut asked, Instant::now(), 1).await;
    exports.unregister("receiver").await.unwrap();
    assert!(asked.recv().await.is_none(), "the last sender goes with the task that would have been started again");
}

#[tokio::test(start_paused = true)]
async fn a_last_export_that_succeeds_ends_the_failures_before_it() {
    let (foundation, supervisor, exports) = supervised().await;
    let (receiver, mut asked) = Receiver::new([Answer::Refuse, Answer::Refuse, Answer::Refuse]);
    exports.register("receiver", receiver.spec()).await.unwrap();
    times(&mut asked, Instant::now(), 3).await;
    assert_eq!(exports.stats("receiver").unwrap().consecutive_failures, 3);
    supervisor.terminate_child("exports").await.unwrap();
    let stats = exports.stats("receiver").unwrap();
    assert_eq!((stats.successes, stats.failures, stats.consecutive_failures), (1, 3, 0));
    assert_eq!(exports.health(), Health::Healthy);
    let recorded = foundation.events().query(Query::new().source("exports")).await.unwrap();
    let last = recorded.last().unwrap();
    assert_eq!((last.kind.as_str(), &last.payload["failures"]), ("export_completed", &3.into()));
    supervisor.shutdown().await;
}

/// An exporter that neither exports nor flushes to an end.
struct Endless;

impl Exporter for Endless {
    const FORMAT: &'static str = "json";

    fn target(&self) -> Target {
        Target::new("nowhere")
    }

    async fn export(&mut self, _: &Batch) -> Result<Exported, ExportFault> {
        pending().await
    }

    async fn flush(&mut self) -> Result<(), ExportFault> {
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_last_export_that_does_not_end_is_one_failure_within_five_seconds() {
    let (_foundation, supervisor, exports) = supervised().await;
    let spec = ExporterSpec::new(|| Endless).schedule(ExportSchedule::on_demand());
    exports.register("endless", spec).await.unwrap();
    let begun = Instant::now();
    supervisor.terminate_child("exports").await.unwrap();
    assert!(begun.elapsed() <= 5 * SECOND + SECOND / 10, "{:?}", begun.elapsed());
    let stats = exports.stats("endless").unwrap();
    assert_eq!((stats.attempts, stats.failures, stats.consecutive_failures), (1, 1, 1));
    supervisor.shutdown().await;
}

/// An exporter whose figures are as great as they can be.
struct Boasts;

impl Exporter for Boasts {
    const FORMAT: &'static str = "json";

    fn target(&self) -> Target {
        Target::new("nowhere")
    }

    async fn export(&mut self, _: &Batch) -> Result<Exported, ExportFault> {
        let mut exported = Exported::new(usize::MAX, usize::MAX);
        exported.rejected = Some((usize::MAX, "all of them".to_owned()));
        Ok(exported)
    }
}

#[tokio::test]
async fn figures_of_an_exporter_that_are_too_great_stay_at_the_greatest_number() {
    let (_foundation, exports) = start().await;
    exports.register("boasts", ExporterSpec::new(|| Boasts)).await.unwrap();
    for _ in 0..2 {
        exports.now("boasts", LONG).await.unwrap();
    }
    let stats = exports.stats("boasts").unwrap();
    let greatest = u64::MAX;
    assert_eq!((stats.series, stats.bytes, stats.series_dropped), (greatest, greatest, greatest));
}
