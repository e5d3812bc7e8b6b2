//! How long the steps of an event store may take, and how much a query may find.

use std::time::Duration;

foundation_kernel::limits! {
    /// How long the steps of an event store may take, and how much a query may find. See [`RegistryLimits`](foundation_kernel::names::RegistryLimits) for
    /// the meaning of extreme values.
    pub struct EventStoreLimits {
        /// How long a request may take, from the call to its answer; 5 s.
        answer: Duration = Duration::from_secs(5),
        /// How long a SQLite file may be locked by another program, such as a tool that looks into it, before a request
        /// fails; 5 s.
        locked_file: Duration = Duration::from_secs(5),
        /// How long an append, or a read, waits for a store that is being restarted; 2 s.
        restart: Duration = Duration::from_secs(2),
        /// How long a query without a [limit of its own](crate::Query::within) may take, including the wait for its
        /// turn; 10 s.
        query_time: Duration = Duration::from_secs(10),
        /// How many events a query without a [limit](crate::Query::limit) may find; 100,000.
        query_events: usize = 100_000,
        /// The first pause before a log that has failed again is reopened; each next one is twice as long. 100 ms, at
        /// least 1 ms.
        reopen_first: Duration = Duration::from_millis(100),
        /// The longest of these pauses; 10 s.
        reopen_longest: Duration = Duration::from_secs(10),
        /// How long a log has to work for its next failure to count as the first of another outage, after which it is
        /// reopened at once; 60 s.
        reopen_steady: Duration = Duration::from_secs(60),
        /// The first pause before a subscription reads a log again after a failed read; each next one is twice as long.
        /// 50 ms, at least 1 ms.
        read_again_first: Duration = Duration::from_millis(50),
        /// The longest of these pauses; 5 s.
        read_again_longest: Duration = Duration::from_secs(5),
        /// The pause before parking an event is tried again after the store could not do it; 5 s, at least 1 ms.
        park_again: Duration = Duration::from_secs(5),
    }
}
