//! The events of exporters, each at its moment.

use std::sync::Arc;

use foundation::telemetry::EventPattern;
use foundation_export::{ExportEvent, ExportRetry, ExportSchedule};
use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::setup::{Answer, LONG, Receiver, SECOND, start};

/// The names of the next so many events.
async fn names<const MANY: usize>(events: &mut broadcast::Receiver<ExportEvent>) -> [&'static str; MANY] {
    let mut names = [""; MANY];
    for name in &mut names {
        *name = match events.recv().await.unwrap() {
            ExportEvent::Registered { .. } => "registered",
            ExportEvent::Unregistered { .. } => "unregistered",
            ExportEvent::Requested { .. } => "requested",
            ExportEvent::Completed { .. } => "completed",
            ExportEvent::Failed { .. } => "failed",
            ExportEvent::BatchTaken { .. } => "batch_taken",
            _ => "another",
        };
    }
    names
}

#[tokio::test(start_paused = true)]
async fn each_event_comes_at_its_moment() {
    let (foundation, exports) = start().await;
    let handled = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&handled);
    let pattern = EventPattern::prefix("export");
    foundation.telemetry().attach("moments", [pattern], move |event| seen.lock().push(event.name.to_owned())).unwrap();
    let mut events = exports.watch();
    let (receiver, _asked) = Receiver::new([Answer::Accept, Answer::Refuse, Answer::Accept]);
    let spec = receiver.spec().schedule(ExportSchedule::on_demand()).retry(ExportRetry::attempts(1));

    exports.register("receiver", spec).await.unwrap();
    assert_eq!(names(&mut events).await, ["registered"]);
    tokio::task::yield_now().await;
    for outcome in ["completed", "failed", "completed"] {
        // Numbers of the same moment are read once.
        tokio::time::advance(SECOND).await;
        assert_eq!(exports.now("receiver", LONG).await.is_ok(), outcome == "completed");
        assert_eq!(names(&mut events).await, ["requested", "batch_taken", outcome]);
    }
    tokio::time::advance(SECOND).await;
    exports.unregister("receiver").await.unwrap();
    assert_eq!(names(&mut events).await, ["batch_taken", "unregistered"]);
    assert!(events.try_recv().is_err());

    let handled = handled.lock();
    let count = |name: &str| handled.iter().filter(|it| *it == name).count();
    let names = ["registered", "requested", "completed", "failed", "batch_taken", "unregistered"];
    assert_eq!(names.map(|name| count(&format!("export.{name}"))), [1, 3, 2, 1, 4, 1]);
}
