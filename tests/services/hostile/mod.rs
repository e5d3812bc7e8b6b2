//! Attacks on the services: hostile texts, sizes, ids and numbers.
//!
//! Invalid names are refused, texts are kept unchanged; nothing is lost, nothing grows, and the service continues.

mod config;
mod events;
mod files;
mod imports;
mod records;
mod secrets;
mod sections;
mod telemetry;

use std::fmt::Display;
use std::sync::{Arc, Mutex};

use foundation::{EventStorage, EventStore, Foundation, NewEvent};
use serde_json::{Value, json};
use tracing_subscriber::layer::{Context, Layer};

/// Control characters, SQL, paths, patterns and markup; none of them is a valid name.
const TEXTS: [&str; 16] = [
    "",
    " ",
    "a\0b",
    "a\nb 1",
    "\u{1b}[31mred",
    "\u{202e}drawkcab",
    "'; DROP TABLE events; --",
    "\" OR 1=1 --",
    "%",
    "?1",
    "{}{0:?}",
    "/~0~1/",
    "../../etc/passwd",
    "${HOME}",
    "<script>alert(1)</script>",
    "🦀",
];

fn long() -> String {
    "x".repeat(1_000_000)
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(Value::Null, |inner, _| json!([inner]))
}

/// An error is for people and for logs: short, and on one line.
#[track_caller]
fn assert_told(error: impl Display) -> String {
    let told = error.to_string();
    assert!(told.len() < 1_000, "{} bytes: {}", told.len(), told.chars().take(300).collect::<String>());
    assert!(!told.contains(char::is_control), "{told:?}");
    told
}

/// The warnings that were logged on this thread.
#[derive(Clone, Default)]
pub(super) struct Warnings(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == tracing::Level::WARN {
            let mut text = String::new();
            event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
                text += &format!("{field}={value:?} ");
            });
            self.0.lock().unwrap().push(text);
        }
    }
}

impl Warnings {
    pub(super) fn read(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// The checks for every store: one in memory and one in SQLite, each through its service, which still works afterwards.
async fn each_store(bears: impl AsyncFn(&EventStore)) {
    let directory = tempfile::tempdir().unwrap();
    for storage in [EventStorage::memory(), EventStorage::sqlite(directory.path())] {
        let foundation = Foundation::builder().events(storage).start().await.unwrap();
        let store = foundation.events();
        bears(store).await;
        let position = store.position();
        let event = store.append(NewEvent::new("worked").unwrap()).await.unwrap();
        assert_eq!(event.get(), position.map_or(0, |position| position.get()) + 1);
        assert_eq!(store.get(event).await.unwrap().unwrap().kind.as_str(), "worked");
        let verification = store.verify(|_| ()).await.unwrap();
        assert!(verification.is_clean(), "{verification}");
        foundation.shutdown().await;
    }
}
