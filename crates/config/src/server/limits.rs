//! How long the steps of a config server may take.

use std::time::Duration;

foundation_kernel::limits! {
    /// How long the steps of a config server may take. None of its limits can be switched off: it handles one change after the
    /// other, and one that is waited for without end would hold up all others. See
    /// [`RegistryLimits`](foundation_kernel::names::RegistryLimits) for the meaning of extreme values.
    pub struct ConfigServerLimits {
        /// How long a request may take, from the call to its answer; 12 s. After it the caller gets
        /// [`NoAnswer`](crate::ConfigUpdateError::NoAnswer), and the server may still apply the change.
        ///
        /// An update that waits for no other request is answered before, with limits that add up as the defaults do, to
        /// 11 s: it may wait for the [outcome](Self::inquiry) of an earlier recording, for an event store that is being
        /// [restarted](foundation_events::EventStoreLimits::restart), for its
        /// [answer](foundation_events::EventStoreLimits::answer), and for the outcome of a recording without an answer.
        /// That does not hold for an update behind other requests, while the store hangs; for a rollback, which reads the
        /// records first; and for a reload, which reads the files and may have to be recorded in parts.
        answer: Duration = Duration::from_secs(12),
        /// How long a start waits for the event store, which may be restarting itself; 10 s. Keep it well below the
        /// time that a start [may take](foundation_kernel::supervision::SupervisorLimits::worker_start).
        store_at_start: Duration = Duration::from_secs(10),
        /// How long finding out the outcome of a recording that was not answered may take; 2 s, as long as an append
        /// waits for a restart of the store. A change may wait for it twice, see [`answer`](Self::answer).
        inquiry: Duration = Duration::from_secs(2),
        /// The first pause before an event store that runs and does not answer is asked again; each next one is twice
        /// as long. 10 ms, at least 1 ms.
        ask_again_first: Duration = Duration::from_millis(10),
        /// The longest of these pauses; 1 s.
        ask_again_longest: Duration = Duration::from_secs(1),
    }
}

#[cfg(test)]
mod tests {
    use foundation_events::EventStoreLimits;

    use super::*;

    /// A default of the event store, in whole seconds, by the line that it is written as.
    fn of_the_store(limit: &str) -> Duration {
        let limits = EventStoreLimits::default().to_string();
        let seconds = |line: &str| line.strip_prefix(limit)?.strip_prefix(": ")?.strip_suffix('s')?.parse().ok();
        Duration::from_secs(limits.lines().find_map(seconds).unwrap())
    }

    #[test]
    fn an_update_by_itself_is_answered_in_time_even_if_every_step_that_it_waits_for_takes_as_long_as_it_may() {
        let limits = ConfigServerLimits::default();
        let recording = of_the_store("restart") + of_the_store("answer");
        assert!(limits.inquiry + recording + limits.inquiry < limits.answer);
    }
}
