//! The clock of the telemetry actor.

use std::time::Duration;

use foundation_kernel::ask;
use foundation_kernel::ractor::ActorRef;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::message::TelemetryMsg;

/// A task that sends the actor each tick; it ends with this value.
pub(super) struct Ticker(JoinHandle<()>);

impl Ticker {
    pub(super) fn start(actor: ActorRef<TelemetryMsg>, every: Duration) -> Self {
        Self(tokio::spawn(tick(actor, every)))
    }
}

async fn tick(actor: ActorRef<TelemetryMsg>, every: Duration) {
    let mut clock = interval(every);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first one comes at once.
    clock.tick().await;
    loop {
        clock.tick().await;
        // One after the other: ticks do not queue up in front of an actor that is slow.
        if ask(&actor, TelemetryMsg::Tick).await.is_err() {
            return;
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.abort();
    }
}
