//! The figures of one service.

use std::time::Duration;

use crate::telemetry::HistogramSnapshot;
use serde::Serialize;

/// The measures of a service, taken without its doing while its actors handled messages.
///
/// The figures belong to the name in its namespace. They go on when an actor comes back under the name, be it by a
/// supervisor or by another [`spawn`](crate::names::ServiceRegistry::spawn), and what an actor does after its name was taken
/// away does not count. Measured are the actors that the registry starts (`spawn`, `child_spec`), and not those that
/// were started elsewhere and only registered. How much is measured is a [`Measurement`](crate::names::Measurement).
///
/// The figures of a name that no actor has any more are kept until there are too many of the kind: 1,024, or as many as
/// there are services, if these are more.
///
/// ```
/// use foundation_kernel::names::{Namespace, ProcessRegistry, ServiceKey};
/// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
/// # use std::time::Duration;
/// # struct Clerk;
/// # type Question = RpcReplyPort<u64>;
/// # struct ClerkMsg(Question);
/// # foundation_kernel::local_message!(ClerkMsg);
/// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
/// # impl Actor for Clerk {
/// #     type Msg = ClerkMsg; type State = (); type Arguments = ();
/// #     async fn pre_start(&self, _: ActorRef<ClerkMsg>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
/// #     async fn handle(&self, _: ActorRef<ClerkMsg>, m: ClerkMsg, _: &mut ()) -> Result<(), ActorProcessingErr> {
/// #         Ok(m.0.send(7)?)
/// #     }
/// # }
/// static CLERK: ServiceKey<ClerkMsg> = ServiceKey::from_static("clerk");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let registry = ProcessRegistry::start().await?;
/// let names = registry.namespace(Namespace::test()).await?;
/// names.spawn(&CLERK, Clerk, ()).await?;
/// names.via(&CLERK).call(ClerkMsg, Duration::from_secs(1)).await?;
///
/// let [(name, measures)] = &names.measures()[..] else { panic!("there is one service") };
/// assert_eq!((name.as_str(), measures.messages, measures.failures), ("clerk", 1, 0));
/// # registry.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ServiceMeasures {
    /// How many messages its actors have begun to handle, the present one included.
    pub messages: u64,
    /// How many of these handlings returned an error or panicked. One that was killed half way has not failed.
    pub failures: u64,
    /// How long since a message was last at work: since a handling began or, if it was timed or had to wait, ended.
    /// After a burst (8 messages within 80 µs) the clock is not read for each: then up to 7 of them may not be noticed.
    #[serde(rename = "idle_ms", serialize_with = "crate::written::millis")]
    pub idle: Duration,
    /// From the beginning of a handling until it returned, waits included, in nanoseconds of tokio's clock. Of the
    /// messages that were timed, failures included: see [`Measurement`](crate::names::Measurement). The present one is not in
    /// it yet.
    pub handling_ns: HistogramSnapshot,
}
