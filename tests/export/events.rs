//! Exports of events.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use foundation::Foundation;
use foundation::events::{Event, EventStorage, EventStore, NewEvent};
use foundation_export::{
    Csv, EventExporter, EventFileExporter, EventFormat, ExportError, ExportFault, ExportRetry, ExportSchedule,
    Exported, ExporterSpec, Exports, Json, Target,
};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::setup::{LONG, SECOND, every, start};

async fn note(events: &EventStore, many: usize) {
    let new = |number| NewEvent::new("noted").unwrap().payload(number).unwrap();
    events.append_batch((0..many).map(new).collect()).await.unwrap();
}

fn into_file<F: EventFormat>(path: &Path) -> ExporterSpec {
    let path = path.to_owned();
    let spec = ExporterSpec::of_events(move || EventFileExporter::<F>::new(&path));
    spec.schedule(ExportSchedule::on_demand()).retry(ExportRetry::attempts(1))
}

/// Exports as soon as the task runs.
async fn export(exports: &Exports) -> Result<Exported, ExportError> {
    loop {
        match exports.now("events", LONG).await {
            Err(ExportError::NotRunning { .. }) => tokio::task::yield_now().await,
            outcome => return outcome,
        }
    }
}

/// The events of a file of JSON Lines.
fn read(path: &Path) -> Vec<Event> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.id.get()).collect()
}

#[tokio::test]
async fn a_file_has_each_event_once_also_after_the_exporter_was_registered_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.jsonl");
    let (foundation, exports) = start().await;
    for _ in 0..3 {
        note(foundation.events(), 10).await;
        exports.register("events", into_file::<Json>(&path)).await.unwrap();
        export(&exports).await.unwrap();
        exports.unregister("events").await.unwrap();
    }
    let exported = read(&path);
    assert_eq!(exported.iter().filter(|event| event.kind.as_str() == "noted").count(), 30);
    assert_eq!(ids(&exported), (1..=exported.len() as u64).collect::<Vec<_>>());
    let recorded = foundation.events().get(exported[7].id).await.unwrap().unwrap();
    assert_eq!(exported[7], *recorded);
}

#[tokio::test]
async fn an_exporter_goes_on_after_a_restart_of_the_process_and_a_line_that_was_cut_short() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.jsonl");
    for round in 0..2 {
        let builder = Foundation::builder().events(EventStorage::sqlite(directory.path())).service(Exports::service());
        let foundation = builder.start().await.unwrap();
        let exports = Exports::of(foundation.production().registry());
        note(foundation.events(), 10).await;
        exports.register("events", into_file::<Json>(&path)).await.unwrap();
        export(&exports).await.unwrap();
        foundation.shutdown().await;
        if round == 0 {
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, format!("{text}{{\"id\":")).unwrap();
        }
    }
    let exported = read(&path);
    assert_eq!(exported.iter().filter(|event| event.kind.as_str() == "noted").count(), 20);
    assert_eq!(ids(&exported), (1..=exported.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_table_has_a_line_for_each_event_whatever_its_payload_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.csv");
    let (foundation, exports) = start().await;
    let payload = serde_json::json!({ "text": "a,b\n\"c\"\r\n" });
    let hostile = NewEvent::new("noted").unwrap().payload(&payload).unwrap().source("a,b\nc");
    let id = foundation.events().append(hostile).await.unwrap();
    exports.register("events", into_file::<Csv>(&path)).await.unwrap();
    export(&exports).await.unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("id,recorded_at,namespace,kind,source,correlation_id,causation_id,payload\r\n"));
    let line = text.lines().find(|line| line.starts_with(&format!("{id},"))).unwrap();
    assert!(line.contains(r#",production,noted,"a,b\nc","#), "{line}");
    let (_, written) = line.split_once(",,\"").unwrap();
    let written = written.strip_suffix('"').unwrap().replace("\"\"", "\"");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), payload);
}

#[tokio::test]
async fn a_directory_that_is_not_there_loses_no_event() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing/events.jsonl");
    let (foundation, exports) = start().await;
    note(foundation.events(), 5).await;
    exports.register("events", into_file::<Json>(&path)).await.unwrap();
    let error = export(&exports).await.unwrap_err().to_string();
    assert!(error.contains("No such file"), "{error}");
    fs::create_dir(path.parent().unwrap()).unwrap();
    export(&exports).await.unwrap();
    assert_eq!(read(&path).iter().filter(|event| event.kind.as_str() == "noted").count(), 5);
}

/// What becomes of a batch of events.
#[derive(Clone, Copy)]
enum Outcome {
    Accept,
    Busy,
    Refuse,
    Never,
    Panic,
}

/// Takes the events that were noted.
#[derive(Clone)]
struct Noted {
    outcomes: Arc<Mutex<VecDeque<Outcome>>>,
    accepted: mpsc::UnboundedSender<Vec<Arc<Event>>>,
}

impl Noted {
    fn new(outcomes: impl IntoIterator<Item = Outcome>) -> (Self, mpsc::UnboundedReceiver<Vec<Arc<Event>>>) {
        let (accepted, events) = mpsc::unbounded_channel();
        (Self { outcomes: Arc::new(Mutex::new(outcomes.into_iter().collect())), accepted }, events)
    }

    fn spec(&self) -> ExporterSpec {
        let noted = self.clone();
        ExporterSpec::of_events(move || noted.clone()).schedule(every(10))
    }
}

/// The next batch that was accepted; none within an hour of tokio's clock is a failure.
async fn next(accepted: &mut mpsc::UnboundedReceiver<Vec<Arc<Event>>>) -> Vec<Arc<Event>> {
    timeout(LONG, accepted.recv()).await.expect("events are exported").unwrap()
}

impl EventExporter for Noted {
    const FORMAT: &'static str = "json";

    fn target(&self) -> Target {
        Target::new("a channel")
    }

    fn wants(&self, event: &Event) -> bool {
        event.kind.as_str() == "noted"
    }

    async fn export(&mut self, events: &[Arc<Event>]) -> Result<Exported, ExportFault> {
        let outcome = self.outcomes.lock().pop_front().unwrap_or(Outcome::Accept);
        match outcome {
            Outcome::Accept => drop(self.accepted.send(events.to_vec())),
            Outcome::Busy => return Err(ExportFault::retry("503 Service Unavailable")),
            Outcome::Refuse => return Err(ExportFault::fatal("400 Bad Request")),
            Outcome::Never => std::future::pending().await,
            Outcome::Panic => panic!("an exporter of the test"),
        }
        Ok(Exported::new(events.len(), events.len()))
    }
}

#[tokio::test(start_paused = true)]
async fn no_event_is_lost_or_comes_twice_when_exports_fail() {
    let (foundation, exports) = start().await;
    let failures = [Outcome::Busy, Outcome::Refuse, Outcome::Panic, Outcome::Never, Outcome::Busy];
    let (noted, mut accepted) = Noted::new(failures);
    exports.register("events", noted.spec().timeout(2 * SECOND)).await.unwrap();
    note(foundation.events(), 3).await;
    let mut found = next(&mut accepted).await;
    note(foundation.events(), 4).await;
    found.extend(next(&mut accepted).await);
    let numbers: Vec<u64> = found.iter().map(|event| event.payload_as().unwrap()).collect();
    assert_eq!(numbers, [0, 1, 2, 0, 1, 2, 3]);
    exports.unregister("events").await.unwrap();
    assert!(accepted.try_recv().is_err());
}

#[tokio::test]
async fn a_batch_whose_export_failed_comes_again_as_it_was_and_later_events_after_it() {
    let (foundation, exports) = start().await;
    let (noted, mut accepted) = Noted::new([Outcome::Refuse]);
    exports.register("events", noted.spec().schedule(ExportSchedule::on_demand())).await.unwrap();
    note(foundation.events(), 3).await;
    export(&exports).await.unwrap_err();
    note(foundation.events(), 4).await;
    assert_eq!(export(&exports).await.unwrap().series, 7);
    let sizes = [accepted.try_recv().unwrap().len(), accepted.try_recv().unwrap().len()];
    assert_eq!(sizes, [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn events_come_in_bounded_batches_and_are_counted_without_reading_numbers() {
    let (foundation, exports) = start().await;
    note(foundation.events(), 2_500).await;
    let (noted, mut accepted) = Noted::new([]);
    exports.register("events", noted.spec()).await.unwrap();
    let mut sizes = Vec::new();
    while sizes.iter().sum::<usize>() < 2_500 {
        sizes.push(next(&mut accepted).await.len());
    }
    assert_eq!(sizes, [1_000, 1_000, 500]);
    exports.unregister("events").await.unwrap();
    assert_eq!(foundation.telemetry().snapshot().counter("export.batch_taken"), None);
}

#[tokio::test]
async fn events_that_were_pruned_before_they_were_exported_are_counted_as_dropped() {
    let (foundation, exports) = start().await;
    note(foundation.events(), 10).await;
    let pruned = foundation.events().prune_before(SystemTime::now() + 60 * SECOND).await.unwrap();
    assert!(pruned >= 10, "{pruned}");
    note(foundation.events(), 2).await;
    let (noted, mut accepted) = Noted::new([]);
    exports.register("events", noted.spec()).await.unwrap();
    let exported = export(&exports).await.unwrap();
    let reason = "they were pruned before they were exported, or are damaged";
    assert_eq!((exported.series, exported.rejected), (2, Some((pruned as usize, reason.to_owned()))));
    assert_eq!(accepted.try_recv().unwrap().len(), 2);
    let stats = exports.stats("events").unwrap();
    assert_eq!((stats.series, stats.series_dropped), (2, pruned));
}
