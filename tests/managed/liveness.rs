//! A service whose liveness check fails.

use foundation_managed::{ServiceState, UnhealthyCause};
use foundation_testkit::soon;

use crate::setup::{DESK, broken, world};

#[tokio::test(start_paused = true)]
async fn a_service_is_restarted_and_then_unhealthy_because_its_restart_is_withheld() {
    let world = world().await;
    world.declared(&DESK, broken("dead").checked()).await;
    let mut watch = world.managed.watch();
    let starting = world.managed.start(&DESK);
    let withheld = async {
        loop {
            let record = world.managed.status(&DESK).unwrap();
            if let ServiceState::Unhealthy(UnhealthyCause::RestartWithheld { reason }) = &record.state {
                return reason.clone();
            }
            watch.next().await.unwrap();
        }
    };
    let reason = tokio::select! {
        biased;
        withheld = soon("the restart that is withheld", withheld) => withheld,
        started = starting => panic!("{started:?}"),
    };
    assert!(reason.contains("no pen") && reason.contains("1 of its service were lately"), "{reason}");
}
