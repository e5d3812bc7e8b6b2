//! Exports that a caller asks for.

use std::time::Duration;

use foundation_export::{ExportError, ExportRetry};

use crate::setup::{Answer, LONG, Receiver, SECOND, start};

#[tokio::test(start_paused = true)]
async fn callers_that_ask_at_the_same_time_share_one_export() {
    let (_foundation, exports) = start().await;
    let (receiver, _kept) = Receiver::new([]);
    exports.register("receiver", receiver.spec()).await.unwrap();
    tokio::task::yield_now().await;
    let asking = (0..10).map(|_| exports.now("receiver", SECOND));
    let outcomes = futures::future::join_all(asking).await;
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap().bytes == 100));
    assert_eq!(exports.stats("receiver").unwrap().attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_gets_the_error_of_the_export() {
    let (_foundation, exports) = start().await;
    let (receiver, _kept) = Receiver::new([Answer::Refuse, Answer::Never, Answer::Panic]);
    let spec = receiver.spec().retry(ExportRetry::attempts(1)).timeout(5 * SECOND);
    exports.register("receiver", spec).await.unwrap();
    let refused = exports.now("receiver", SECOND).await.unwrap_err();
    assert_eq!(refused.to_string(), "exporter receiver has failed at attempt 1: 400 Bad Request");
    let late = exports.now("receiver", SECOND).await.unwrap_err();
    assert_eq!(late.to_string(), "exporter receiver has not exported within 1s");
    tokio::time::advance(5 * SECOND).await;
    let ended = exports.now("receiver", LONG).await.unwrap_err();
    assert!(matches!(ended, ExportError::NotRunning { .. }), "{ended}");
    let down = exports.now("receiver", LONG).await.unwrap_err();
    assert_eq!(down.to_string(), "exporter receiver does not run; it is started again after a while");
}

#[tokio::test(start_paused = true)]
async fn a_caller_gets_the_numbers_of_now() {
    let (foundation, exports) = start().await;
    for number in 1..=3 {
        foundation.telemetry().count("asked");
        tokio::time::advance(Duration::from_secs(1)).await;
        let text = exports.encode("prometheus").unwrap();
        let text = std::str::from_utf8(text.as_bytes()).unwrap();
        assert!(text.contains(&format!("asked_total{{namespace=\"production\"}} {number}\n")), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_exporter_can_be_asked_as_soon_as_it_is_registered() {
    let (_foundation, exports) = start().await;
    for number in 0..50 {
        let (receiver, _kept) = Receiver::new([]);
        let name = format!("receiver_{number}");
        exports.register(&name, receiver.spec()).await.unwrap();
        exports.now(&name, LONG).await.unwrap();
    }
}
