//! What happens when an export fails.

use std::time::Duration;

use foundation::events::Query;
use foundation::supervision::Health;
use foundation_export::{ExportError, ExportEvent, ExportRetry, ExportSchedule, ExporterState};
use tokio::time::Instant;

use crate::setup::{Answer, LONG, Receiver, SECOND, start, times};

#[tokio::test(start_paused = true)]
async fn a_busy_receiver_is_asked_again_within_the_period() {
    let (_foundation, exports) = start().await;
    let (receiver, mut asked) = Receiver::new([Answer::Busy, Answer::Busy, Answer::Busy]);
    let begun = Instant::now();
    exports.register("receiver", receiver.spec()).await.unwrap();
    let found = times(&mut asked, begun, 5).await;
    assert!(found[..4].iter().all(|time| (10 * SECOND..20 * SECOND).contains(time)), "{found:?}");
    assert!(found[4] >= 20 * SECOND);
    let stats = exports.stats("receiver").unwrap();
    assert_eq!((stats.attempts, stats.retries, stats.failures), (5, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_says_when_it_may_be_asked_again_is_asked_then() {
    let (_foundation, exports) = start().await;
    let (receiver, mut asked) = Receiver::new([Answer::BusyFor(3 * SECOND), Answer::Accept, Answer::BusyFor(LONG)]);
    let begun = Instant::now();
    exports.register("receiver", receiver.spec()).await.unwrap();
    let found = times(&mut asked, begun, 4).await;
    // An hour is longer than the period.
    assert_eq!(found, [10 * SECOND, 13 * SECOND, 20 * SECOND, 30 * SECOND]);
    assert_eq!(exports.stats("receiver").unwrap().failures, 1);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_busy_for_an_hour_does_not_hold_up_an_export_on_demand() {
    let (_foundation, exports) = start().await;
    let (receiver, _asked) = Receiver::new([Answer::BusyFor(3_600 * SECOND), Answer::Accept]);
    exports.register("receiver", receiver.spec().schedule(ExportSchedule::on_demand())).await.unwrap();
    let begun = Instant::now();
    let failed = exports.now("receiver", LONG).await.unwrap_err();
    assert!(matches!(failed, ExportError::Failed { attempts: 1, .. }), "{failed}");
    exports.now("receiver", LONG).await.unwrap();
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_a_receiver_refuses_is_not_sent_again() {
    let (_foundation, exports) = start().await;
    let (receiver, mut asked) = Receiver::new([Answer::Refuse, Answer::RefuseSome(3)]);
    let begun = Instant::now();
    exports.register("receiver", receiver.spec()).await.unwrap();
    assert_eq!(times(&mut asked, begun, 3).await, [10 * SECOND, 20 * SECOND, 30 * SECOND]);
    let stats = exports.stats("receiver").unwrap();
    assert_eq!((stats.failures, stats.retries, stats.series_dropped), (1, 0, 3));
    assert_eq!(stats.last_error.as_deref(), Some("exporter receiver has failed at attempt 1: 400 Bad Request"));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_never_answers_is_left_after_the_time_out() {
    let (_foundation, exports) = start().await;
    let (receiver, mut asked) = Receiver::new([Answer::Never]);
    let begun = Instant::now();
    let spec = receiver.spec().timeout(2 * SECOND).retry(ExportRetry::attempts(1));
    exports.register("receiver", spec).await.unwrap();
    assert_eq!(times(&mut asked, begun, 2).await, [10 * SECOND, 20 * SECOND]);
    let error = exports.stats("receiver").unwrap().last_error.unwrap();
    assert_eq!(error, "exporter receiver has failed at attempt 1: no end within 2s");
}

#[tokio::test(start_paused = true)]
async fn one_that_panics_is_started_again_after_growing_delays_and_is_shown_and_recorded() {
    let (foundation, exports) = start().await;
    let (receiver, mut asked) = Receiver::new([Answer::Panic, Answer::Panic, Answer::Panic]);
    exports.register("receiver", receiver.spec()).await.unwrap();
    times(&mut asked, Instant::now(), 3).await;
    let stats = loop {
        let stats = exports.stats("receiver").unwrap();
        if stats.failures == 3 {
            break stats;
        }
        tokio::time::advance(Duration::from_millis(1)).await;
    };
    assert_eq!(stats.last_error.as_deref(), Some("the exporter panicked"));
    let unhealthy = Health::Degraded("exports fail again and again: receiver".to_owned());
    assert_eq!(exports.health(), unhealthy);
    times(&mut asked, Instant::now(), 2).await;
    assert_eq!(exports.health(), Health::Healthy);
    assert_eq!(exports.stats("receiver").unwrap().state, ExporterState::Waiting);
    let recorded = foundation.events().query(Query::new().source("exports")).await.unwrap();
    let kinds: Vec<_> = recorded.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["exporter_registered", "export_failed", "export_completed"]);
    assert_eq!(recorded[1].payload["cause"], "the exporter panicked");
    assert_eq!(recorded[2].payload["failures"], 3);
}

#[tokio::test(start_paused = true)]
async fn only_the_first_failure_of_a_row_and_the_success_after_it_are_events() {
    let (foundation, exports) = start().await;
    let (receiver, mut asked) = Receiver::new([Answer::Refuse, Answer::Refuse, Answer::Refuse]);
    let mut shown = exports.watch();
    exports.register("receiver", receiver.spec()).await.unwrap();
    times(&mut asked, Instant::now(), 6).await;
    exports.now("receiver", SECOND).await.unwrap();
    exports.unregister("receiver").await.unwrap();

    let recorded = foundation.events().query(Query::new().source("exports")).await.unwrap();
    let kinds: Vec<_> = recorded.iter().map(|event| event.kind.as_str()).collect();
    let expected = [
        "exporter_registered",
        "export_failed",
        "export_completed",
        "export_requested",
        "export_completed",
        "exporter_unregistered",
    ];
    assert_eq!(kinds, expected);
    assert_eq!((&recorded[2].payload["failures"], &recorded[4].payload["failures"]), (&3.into(), &0.into()));
    let telemetry = foundation.telemetry().snapshot();
    assert_eq!(telemetry.counter("export.failed"), Some(1));
    assert_eq!(telemetry.counter("export.completed"), Some(2));
    let mut taken = 0;
    while let Ok(event) = shown.try_recv() {
        taken += u64::from(matches!(event, ExportEvent::BatchTaken { .. }));
    }
    assert_eq!(foundation.telemetry().snapshot().counter("export.batch_taken"), Some(taken));
}

#[tokio::test(start_paused = true)]
async fn a_dead_receiver_is_asked_no_more_often_for_as_long_as_it_is_dead() {
    let (_foundation, exports) = start().await;
    let answers = (0..1_000).map(|number| if number % 2 == 0 { Answer::Busy } else { Answer::Never });
    let (receiver, mut asked) = Receiver::new(answers);
    let begun = Instant::now();
    exports.register("receiver", receiver.spec()).await.unwrap();
    while times(&mut asked, begun, 1).await[0] < 600 * SECOND {}
    let stats = exports.stats("receiver").unwrap();
    assert!(stats.failures >= 55 && stats.attempts <= 4 * 60, "{stats:?}");
}
