//! Pools of a namespace: their events, their measurements, their health.

use std::time::Duration;

use foundation::Foundation;
use foundation::health::Condition;
use foundation::pool::{PoolRecording, Stuck};

use crate::setup::{LONG, Order, gate, spec};

#[tokio::test]
async fn a_job_that_dies_in_a_pool_of_a_namespace_is_recorded() {
    let foundation = Foundation::builder().start().await.unwrap();
    let (services, spec) = (foundation.production(), spec());
    let pool = spec.handle();
    services.supervise(services.pool_spec("mailers", &spec)).await.unwrap();
    let mut recorded = services.events().subscribe(foundation::events::SubscriptionSpec::from_now()).await.unwrap();
    pool.call(Order::Fail, LONG).await.unwrap_err();
    let event = loop {
        let event = recorded.next().await.unwrap().unwrap();
        if event.kind == PoolRecording::JOB_DIED {
            break event;
        }
    };
    assert_eq!(event.payload_as::<serde_json::Value>().unwrap()["pool"], "mailers");
    foundation.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_of_a_namespace_is_measured() {
    let foundation = Foundation::builder().start().await.unwrap();
    let (services, spec) = (foundation.production(), spec());
    let pool = spec.handle();
    services.supervise(services.pool_spec("mailers", &spec)).await.unwrap();
    for _ in 0..3 {
        pool.call(Order::Last(Duration::from_secs(1)), LONG).await.unwrap();
    }
    pool.call(Order::Last(Duration::from_secs(1)), LONG).await.unwrap();
    let snapshot = services.telemetry().snapshot();
    let done = snapshot.counter(r#"pool.jobs{outcome="done",pool="mailers"}"#);
    // As of the latest tick: the last of them may have ended since.
    assert!(done >= Some(3), "{snapshot:?}");
    assert_eq!(snapshot.gauge(r#"pool.workers{pool="mailers",state="live"}"#), Some(2.0), "{snapshot:?}");
    assert_eq!(snapshot.gauge(r#"pool.queue{pool="mailers",priority="0"}"#), Some(0.0), "{snapshot:?}");
    let waits = snapshot.histogram(r#"pool.wait_ns{pool="mailers"}"#).unwrap();
    assert_eq!(waits.count, 4);
    foundation.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_whose_worker_is_stuck_is_degraded() {
    let foundation = Foundation::builder().start().await.unwrap();
    let services = foundation.production();
    let spec = spec().stuck(Stuck::slow_after(Duration::from_secs(1)));
    let pool = spec.handle();
    services.supervise(services.pool_spec("mailers", &spec)).await.unwrap();
    assert_eq!(services.health().await.condition(), Condition::Healthy);
    let (at, mut keeper) = gate();
    pool.cast(Order::Wait(at)).unwrap();
    keeper.begun().await;
    tokio::time::advance(Duration::from_secs(2)).await;
    let health = services.health().await;
    assert_eq!(health.condition(), Condition::Degraded, "{health}");
    assert!(health.to_string().contains("mailers"), "{health}");
    keeper.open(1);
    foundation.shutdown().await;
}
