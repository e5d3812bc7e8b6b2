//! How long the steps of a config server may take.

use std::time::Duration;

foundation_kernel::limits! {
    /// How long the steps of a config server may take. See [`RegistryLimits`](foundation_kernel::names::RegistryLimits) for the meaning of extreme values.
    pub struct ConfigServerLimits {
        /// How long a request may take, from the call to its answer: of a change, its recording included; 10 s.
        answer: Duration = Duration::from_secs(10),
        /// How long a start waits for the event store, which may be restarting itself; 10 s. Keep it well below the
        /// time that a start [may take](foundation_kernel::supervision::SupervisorLimits::worker_start).
        store_at_start: Duration = Duration::from_secs(10),
        /// How long finding out the outcome of a recording that was not answered may take; 4 s. With the time that the
        /// recording itself [may take](crate::EventStoreLimits::answer) it should stay below [`answer`](Self::answer).
        inquiry: Duration = Duration::from_secs(4),
        /// The first pause before an event store that runs and does not answer is asked again; each next one is twice
        /// as long. 10 ms, at least 1 ms.
        ask_again_first: Duration = Duration::from_millis(10),
        /// The longest of these pauses; 1 s.
        ask_again_longest: Duration = Duration::from_secs(1),
    }
}
