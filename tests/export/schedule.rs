//! When exporters export.

use std::time::Duration;

use foundation::Foundation;
use foundation::supervision::{Strategy, Supervisor, SupervisorSpec};
use foundation_export::{Batch, ExportEvent, ExportSchedule, ExporterState, Exports};
use tokio::time::Instant;

use crate::setup::{Answer, LONG, Receiver, SECOND, start, times};

#[tokio::test(start_paused = true)]
async fn an_exporter_exports_each_time_its_period_has_passed_and_once_at_the_end() {
    let (foundation, exports) = start().await;
    let (receiver, mut asked) = Receiver::new([]);
    let begun = Instant::now();
    exports.register("receiver", receiver.spec()).await.unwrap();
    assert_eq!(times(&mut asked, begun, 3).await, [10 * SECOND, 20 * SECOND, 30 * SECOND]);
    foundation.shutdown().await;
    assert!(asked.recv().await.is_some(), "the last numbers");
    let stats = exports.stats("receiver").unwrap();
    assert_eq!((stats.attempts, stats.successes, stats.failures, stats.state), (4, 4, 0, ExporterState::Down));
    assert_eq!(stats.bytes, 400);
    assert!(stats.series > 0 && stats.last_success.is_some());
}

#[tokio::test(start_paused = true)]
async fn one_that_never_ends_and_one_that_panics_delay_no_other() {
    let (_foundation, exports) = start().await;
    let begun = Instant::now();
    let (endless, _kept) = Receiver::new([Answer::Never, Answer::Never, Answer::Never, Answer::Never]);
    exports.register("endless", endless.spec().timeout(LONG)).await.unwrap();
    let (panics, _kept) = Receiver::new([Answer::Panic, Answer::Panic]);
    exports.register("panics", panics.spec()).await.unwrap();
    let mut others = Vec::new();
    for number in 0..6 {
        let (receiver, asked) = Receiver::new([]);
        exports.register(&format!("other_{number}"), receiver.spec()).await.unwrap();
        others.push(asked);
    }
    for asked in &mut others {
        for (due, time) in (1..=20).zip(times(asked, begun, 20).await) {
            assert!(time - 10 * due * SECOND <= Duration::from_millis(1), "export {due} after {time:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_export_ends_with_all_its_attempts_before_the_next_one_is_due() {
    let (_foundation, exports) = start().await;
    let (receiver, mut asked) = Receiver::new([Answer::Never, Answer::Never, Answer::Never]);
    let begun = Instant::now();
    exports.register("slow", receiver.spec().timeout(LONG)).await.unwrap();
    assert_eq!(times(&mut asked, begun, 4).await, [10 * SECOND, 20 * SECOND, 30 * SECOND, 40 * SECOND]);
    assert_eq!(exports.stats("slow").unwrap().failures, 3);
}

#[tokio::test(start_paused = true)]
async fn exporters_that_are_due_at_the_same_time_share_the_numbers() {
    let (_foundation, exports) = start().await;
    let mut others = Vec::new();
    for number in 0..5 {
        let (receiver, asked) = Receiver::new([]);
        exports.register(&format!("other_{number}"), receiver.spec()).await.unwrap();
        others.push(asked);
    }
    let mut events = exports.watch();
    for asked in &mut others {
        times(asked, Instant::now(), 3).await;
    }
    let mut taken = 0;
    while let Ok(event) = events.try_recv() {
        taken += usize::from(matches!(event, ExportEvent::BatchTaken { .. }));
    }
    assert_eq!(taken, 3);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_paused_exports_only_when_it_is_asked_until_it_is_resumed() {
    let (_foundation, exports) = start().await;
    let (receiver, mut asked) = Receiver::new([]);
    exports.register("receiver", receiver.spec()).await.unwrap();
    exports.pause("receiver").unwrap();
    tokio::time::advance(35 * SECOND).await;
    exports.now("receiver", SECOND).await.unwrap();
    assert_eq!(exports.stats("receiver").unwrap().state, ExporterState::Paused);
    exports.resume("receiver").unwrap();
    let begun = Instant::now();
    let found = times(&mut asked, begun, 2).await;
    assert_eq!((found[0], found[1] <= 10 * SECOND), (Duration::ZERO, true), "{found:?}");
    assert_eq!(exports.stats("receiver").unwrap().attempts, 2);
}

#[tokio::test(start_paused = true)]
async fn one_on_demand_exports_when_it_is_asked_and_at_the_end() {
    let (foundation, exports) = start().await;
    let (receiver, mut asked) = Receiver::new([]);
    exports.register("receiver", receiver.spec().schedule(ExportSchedule::on_demand())).await.unwrap();
    tokio::time::advance(10_000 * LONG).await;
    assert!(asked.try_recv().is_err(), "not even after a year");
    exports.now("receiver", SECOND).await.unwrap();
    foundation.shutdown().await;
    assert_eq!(exports.stats("receiver").unwrap().successes, 2);
}

#[tokio::test(start_paused = true)]
async fn an_exporter_goes_on_after_the_end_of_its_supervisor() {
    let foundation = Foundation::builder().start().await.unwrap();
    let names = foundation.production().registry().clone();
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(Exports::child_spec(&names));
    let supervisor = Supervisor::start("exporters", spec).await.unwrap();
    let exports = Exports::of(&names);
    let (receiver, mut asked) = Receiver::new([]);
    exports.register("receiver", receiver.spec()).await.unwrap();
    supervisor.terminate_child("exports").await.unwrap();
    assert!(asked.recv().await.is_some(), "the last numbers");
    assert_eq!(exports.stats("receiver").unwrap().state, ExporterState::Down);
    supervisor.restart_child("exports").await.unwrap();
    let begun = Instant::now();
    assert_eq!(times(&mut asked, begun, 2).await, [10 * SECOND, 20 * SECOND]);
    supervisor.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_exporter_that_is_registered_while_the_supervisor_is_down_starts_with_it() {
    let foundation = Foundation::builder().start().await.unwrap();
    let names = foundation.production().registry().clone();
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(Exports::child_spec(&names));
    let supervisor = Supervisor::start("exporters", spec).await.unwrap();
    supervisor.terminate_child("exports").await.unwrap();
    let exports = Exports::of(&names);
    let (receiver, mut asked) = Receiver::new([]);
    exports.register("receiver", receiver.spec()).await.unwrap();
    supervisor.restart_child("exports").await.unwrap();
    let begun = Instant::now();
    assert_eq!(times(&mut asked, begun, 1).await, [10 * SECOND]);
    supervisor.shutdown().await;
}

#[tokio::test]
async fn series_beyond_the_limit_of_a_batch_are_left_out_and_counted_by_exporter() {
    let (foundation, exports) = start().await;
    let series = |foundation: &foundation::Foundation| {
        let scrape = foundation.telemetry().scrape();
        scrape.families.iter().map(|family| family.series.len()).sum::<usize>() as u64
    };
    let (receiver, _asked) = Receiver::new([]);
    exports.register("receiver", receiver.spec().schedule(ExportSchedule::on_demand())).await.unwrap();
    exports.set_max_series(5);
    let exported = exports.now("receiver", LONG).await.unwrap();
    assert_eq!(exported.series, 5);
    let dropped = exports.stats("receiver").unwrap().series_dropped;
    let snapshot = foundation.telemetry().snapshot();
    assert_eq!(snapshot.counter(r#"export.series_dropped{exporter="receiver"}"#), Some(dropped));
    // Nothing is left out of the sum: what was not exported was counted.
    assert!(dropped > 0 && dropped + 5 <= series(&foundation));
    exports.set_max_series(20_000);
    exports.now("receiver", LONG).await.unwrap();
    assert_eq!(exports.stats("receiver").unwrap().series_dropped, dropped);
}

#[tokio::test]
async fn of_each_limit_the_series_of_a_batch_and_those_left_out_are_all_series() {
    let (foundation, _exports) = start().await;
    let scrape = foundation.telemetry().scrape();
    let all: usize = scrape.families.iter().map(|family| family.series.len()).sum();
    for limit in 0..all + 2 {
        let batch = Batch::new(scrape.clone(), limit);
        assert_eq!((batch.series(), batch.series() + batch.dropped()), (limit.min(all), all));
        assert_eq!(batch.scrape().families.iter().map(|family| family.series.len()).sum::<usize>(), batch.series());
    }
}
