//! Measuring picks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use foundation::names::{ServiceName, ServiceRegistry};
use foundation::supervision::BoxError;
use foundation::telemetry::Counter;
use foundation_discovery::{DiscoveryMeter, DiscoveryOptions, PickCounters};
use foundation_testkit::Command;

use crate::setup::{all, world_with};

/// Has counters when it is asked for the third time: first it fails, then it panics.
struct Late {
    asked: Arc<AtomicU32>,
    succeeded: Arc<Counter>,
}

impl DiscoveryMeter for Late {
    fn picks(&self, _: &ServiceRegistry, _: &ServiceName) -> Result<PickCounters, BoxError> {
        match self.asked.fetch_add(1, Ordering::SeqCst) {
            0 => Err("not yet".into()),
            1 => panic!("it breaks"),
            _ => {
                let mut counters = PickCounters::default();
                counters.succeeded = Arc::clone(&self.succeeded);
                Ok(counters)
            }
        }
    }

    fn check_ran(&self, _: &ServiceRegistry, _: &ServiceName, _: &str, _: Duration) {}
}

#[tokio::test]
async fn a_meter_that_fails_is_asked_again_less_and_less_often_and_no_pick_is_lost() {
    let (asked, succeeded) = (Arc::<AtomicU32>::default(), Arc::<Counter>::default());
    let late = Late { asked: Arc::clone(&asked), succeeded: Arc::clone(&succeeded) };
    let world = world_with(DiscoveryOptions::new().measured_by(late)).await;
    world.spawn("a").await;
    let mut selector = world.discovery.selector::<Command>(all());
    let mut seen = Vec::new();
    for _ in 0..8 {
        selector.pick().unwrap().succeeded();
        seen.push((asked.load(Ordering::SeqCst), succeeded.value()));
    }
    assert_eq!(seen, [(1, 0), (2, 0), (2, 0), (3, 4), (3, 5), (3, 6), (3, 7), (3, 8)]);
}
