//! How much is measured.

use serde::Serialize;

/// How much is measured of a service whose actor is started by its [`ServiceRegistry`](crate::names::ServiceRegistry).
///
/// Set it for one service with [`ServiceRegistry::measured`](crate::names::ServiceRegistry::measured), and for all others with
/// [`ProcessRegistryBuilder::measurement`](crate::names::ProcessRegistryBuilder::measurement). The figures are
/// [`ServiceMeasures`](crate::names::ServiceMeasures).
///
/// # Cost
///
/// A message of a burst costs about 10 ns more, one by itself a reading of the clock besides (20 to 30 ns), and one
/// that is timed another reading and the entry into the histogram. A service that has handled a message takes
/// about 2 KB as long as its figures are kept.
///
/// # Spans
///
/// Each names the namespace, the service and the actor. One is made only if a `tracing` subscriber wants it; otherwise
/// it costs less than 1 ns.
///
/// | span | target | level | around |
/// |---|---|---|---|
/// | `handle` | `foundation::service` | `DEBUG` | each message |
/// | `start` | `foundation::lifecycle` | `INFO` | `pre_start` and `post_start` |
/// | `stop` | `foundation::lifecycle` | `INFO` | `post_stop` |
///
/// ```
/// use foundation_kernel::names::{Measurement, Namespace, ProcessRegistry, ServiceKey};
/// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
/// # struct Clerk;
/// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
/// # impl Actor for Clerk {
/// #     type Msg = u64; type State = (); type Arguments = ();
/// #     async fn pre_start(&self, _: ActorRef<u64>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
/// # }
/// const CLERK: ServiceKey<u64> = ServiceKey::from_static("clerk");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let registry = ProcessRegistry::builder().measurement(Measurement::Off).start().await?;
/// let names = registry.namespace(Namespace::test()).await?;
/// let clerk = names.measured(Measurement::Full).spawn(&CLERK, Clerk, ()).await?;
/// clerk.cast(7)?;
/// # registry.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Measurement {
    /// Each message is counted and has a span; one in [`SAMPLED`](Self::SAMPLED) is timed, the first among them. The
    /// default.
    #[default]
    Sampled,
    /// Each message is counted, has a span, and is timed.
    Full,
    /// Nothing is measured, and there are no spans.
    Off,
}

impl Measurement {
    /// Under [`Sampled`](Self::Sampled) one in this many messages of a service is timed: 8.
    pub const SAMPLED: u64 = 8;

    /// One in how many messages is timed, a power of two; `None` if nothing is measured at all.
    pub(super) const fn timed_one_in(self) -> Option<u64> {
        match self {
            Self::Sampled => Some(Self::SAMPLED),
            Self::Full => Some(1),
            Self::Off => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_that_is_not_off_times_some_messages_and_sampled_is_the_default() {
        let timed = [Measurement::default(), Measurement::Full, Measurement::Off].map(Measurement::timed_one_in);
        assert_eq!(timed, [Some(Measurement::SAMPLED), Some(1), None]);
        assert!(timed.into_iter().flatten().all(u64::is_power_of_two));
    }
}
