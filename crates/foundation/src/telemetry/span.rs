//! One measured piece of work.

use serde_json::Value;
use tokio::time::Instant;

use super::hub::Hub;

/// From start to stop; if it is dropped before, by a panic or because its future was, that is an exception.
pub(super) struct Span<'a> {
    hub: &'a Hub,
    name: &'a str,
    begun: Instant,
    stopped: bool,
}

impl<'a> Span<'a> {
    pub(super) fn start(hub: &'a Hub, name: &'a str) -> Self {
        hub.execute(&format!("{name}.start"), &[], &Value::Null);
        Self { hub, name, begun: Instant::now(), stopped: false }
    }

    pub(super) fn stop(mut self) {
        self.stopped = true;
        self.end("stop");
    }

    fn end(&self, how: &str) {
        let took = self.begun.elapsed().as_secs_f64() * 1_000.0;
        self.hub.execute(&format!("{}.{how}", self.name), &[("duration_ms", took)], &Value::Null);
    }
}

impl Drop for Span<'_> {
    fn drop(&mut self) {
        if !self.stopped {
            self.end("exception");
        }
    }
}
