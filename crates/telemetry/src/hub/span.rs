//! One measured piece of work.

use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::Hub;

/// A piece of work under way: its start was emitted, and its end will be.
///
/// [`stop`](Self::stop) executes `name.stop`. If the value is dropped before, by a panic, by an early return or because
/// the future that it lives in was cancelled, that is `name.exception`, whose metadata says which in the field
/// `exception`: `panic` or `cancelled`. Both have the measurement `duration_ms`, in milliseconds of tokio's clock.
///
/// ```
/// use foundation_kernel::names::{Namespace, ProcessRegistry};
/// use foundation_telemetry::{Telemetry, TelemetryOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let root = ProcessRegistry::builder()
/// #     .service(Telemetry::service(TelemetryOptions::new()))
/// #     .start().await?;
/// # let telemetry = Telemetry::of(&root.namespace(Namespace::Production).await?);
/// let span = telemetry.span("pricing");
/// let total = 3 * 7;
/// span.stop();
///
/// let snapshot = telemetry.snapshot();
/// assert_eq!((total, snapshot.counter("pricing.stop")), (21, Some(1)));
/// root.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "it ends when it is dropped, as an exception"]
pub struct Span {
    hub: Arc<Hub>,
    name: String,
    metadata: Value,
    begun: Instant,
    stopped: bool,
}

impl Span {
    pub(super) fn start(hub: &Arc<Hub>, name: &str, metadata: Value) -> Self {
        hub.execute(&format!("{name}.start"), &[], &metadata);
        Self { hub: Arc::clone(hub), name: name.to_owned(), metadata, begun: Instant::now(), stopped: false }
    }

    /// Emits the end of the work.
    pub fn stop(mut self) {
        self.stopped = true;
        self.end("stop", &self.metadata);
    }

    fn end(&self, how: &str, metadata: &Value) {
        let took = self.begun.elapsed().as_secs_f64() * 1_000.0;
        self.hub.execute(&format!("{}.{how}", self.name), &[("duration_ms", took)], metadata);
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if !self.stopped {
            let exception = if std::thread::panicking() { "panic" } else { "cancelled" };
            let metadata = with_exception(self.metadata.take(), exception);
            self.end("exception", &metadata);
        }
    }
}

/// Adds a field; metadata that is not an object becomes one.
fn with_exception(metadata: Value, exception: &str) -> Value {
    match metadata {
        Value::Null => json!({ "exception": exception }),
        Value::Object(mut fields) => {
            fields.insert("exception".to_owned(), exception.into());
            Value::Object(fields)
        }
        other => json!({ "metadata": other, "exception": exception }),
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Span({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_keeps_the_metadata_of_its_start() {
        assert_eq!(with_exception(Value::Null, "panic"), json!({ "exception": "panic" }));
        assert_eq!(with_exception(json!({ "shop": 1 }), "panic"), json!({ "shop": 1, "exception": "panic" }));
        assert_eq!(with_exception(json!(7), "panic"), json!({ "metadata": 7, "exception": "panic" }));
    }
}
