//! A puppet's behaviour at a moment, and gates to wait for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;

/// A puppet's behaviour at `Moment::Called`, `Starting`, `Started` or
/// `Stopping`.
#[derive(Debug, Clone)]
pub enum Conduct {
    /// Continues.
    Proceed,
    /// Reports that it is not wanted now; at `Called` only.
    Ignore,
    /// Returns this as its error.
    Fail(&'static str),
    /// Panics with this text.
    Panic(&'static str),
    /// Never comes to an end.
    Hang,
    /// Continues when the gate is open.
    Wait(Gate),
    /// Takes this long, by tokio's clock.
    Take(Duration),
    /// Asks a question, and continues with the answer dropped.
    Ask(Question),
}

/// Something to await in the middle of a start.
#[derive(Clone)]
pub struct Question(Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>);

impl Question {
    /// Wraps an asynchronous function.
    pub fn new<F: Future<Output = ()> + Send + 'static>(ask: impl Fn() -> F + Send + Sync + 'static) -> Self {
        Self(Arc::new(move || Box::pin(ask())))
    }

    pub(super) async fn ask(&self) {
        (self.0)().await;
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Question")
    }
}

/// A gate that is opened once.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Lets every waiter through, now and later.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Returns when the gate is open.
    pub async fn passed(&self) {
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}
