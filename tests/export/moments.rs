//! The events of exporters, each at its moment.

use std::sync::Arc;

use foundation::telemetry::EventPattern;
use foundation_export::{ExportEvent, ExportRetry, ExportSchedule};
use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::setup::{Answer, LONG, Receiver, SECOND, start};

/// The names of the events that have come.
fn names(events: &mut broadcast::Receiver<ExportEvent>) -> Vec<&'static str> {
    let mut names = Vec::new();
    while let Ok(event) = events.try_recv() {
        names.push(match event {
            ExportEvent::Registered { .. } => "registered",
            ExportEvent::Unregistered { .. } => "unregistered",
            ExportEvent::Requested { .. } => "requested",
            ExportEvent::Completed { .. } => "completed",
            ExportEvent::Failed { .. } => "failed",
            ExportEvent::BatchTaken { .. } => "batch_taken",
            _ => "another",
        });
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
    let (receiver, mut asked) = Receiver::new([Answer::Accept, Answer::Refuse, Answer::Accept]);
    let spec = receiver.spec().schedule(ExportSchedule::on_demand()).retry(ExportRetry::attempts(1));

    exports.register("receiver", spec).await.unwrap();
    assert_eq!(names(&mut events), ["registered"]);
    tokio::task::yield_now().await;

    exports.now("receiver", LONG).await.unwrap();
    asked.recv().await.unwrap();
    exports.now("receiver", LONG).await.unwrap_err();
    let expected = ["requested", "batch_taken", "completed", "requested", "batch_taken"];
    assert_eq!(names(&mut events)[..5], expected);

    exports.now("receiver", SECOND).await.unwrap();
    exports.unregister("receiver").await.unwrap();
    let last = names(&mut events);
    // Failed comes when the caller has its outcome, so it may be among the ones before.
    let after_failure: Vec<_> = last.iter().copied().skip_while(|name| *name != "requested").collect();
    assert_eq!(after_failure, ["requested", "batch_taken", "completed", "batch_taken", "unregistered"]);
    let handled = handled.lock();
    let count = |name: &str| handled.iter().filter(|it| *it == name).count();
    let names = ["registered", "requested", "completed", "failed", "batch_taken", "unregistered"];
    assert_eq!(names.map(|name| count(&format!("export.{name}"))), [1, 3, 2, 1, 4, 1]);
}
