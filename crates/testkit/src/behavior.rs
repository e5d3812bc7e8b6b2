use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use foundation::ractor::ActorProcessingErr;
use futures::future::BoxFuture;

use crate::Gate;

/// The behaviour of a [`Puppet`](crate::Puppet) at `Moment::Called`, `Starting`, `Started` or `Stopping`.
#[derive(Debug, Clone)]
pub enum Behavior {
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
    /// Calls an asynchronous function.
    Call(Call),
}

impl Behavior {
    /// Calls this function, awaits it, and returns its error.
    pub fn call<F>(call: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), ActorProcessingErr>> + Send + 'static,
    {
        Self::Call(Call(Arc::new(move || Box::pin(call()))))
    }

    pub(crate) async fn run(&self) -> Result<(), ActorProcessingErr> {
        match self {
            Self::Proceed | Self::Ignore => {}
            Self::Fail(text) => return Err((*text).into()),
            Self::Panic(text) => panic!("{text}"),
            Self::Hang => pending().await,
            Self::Wait(gate) => gate.pass().await,
            Self::Take(time) => take(*time).await,
            Self::Call(Call(call)) => return call().await,
        }
        Ok(())
    }
}

type CallFn = dyn Fn() -> BoxFuture<'static, Result<(), ActorProcessingErr>> + Send + Sync;

/// The asynchronous function of [`Behavior::call`].
#[derive(Clone)]
pub struct Call(Arc<CallFn>);

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Call")
    }
}

#[expect(clippy::disallowed_methods, reason = "an actor that takes its time is what is tested, on a paused clock")]
async fn take(time: Duration) {
    tokio::time::sleep(time).await;
}
