//! How long the steps of an event store may take, and how much a query may find.

use std::time::Duration;

foundation_core::limits! {
    /// How long the steps of an event store may take, and how much a query may find. See [`Limits`](crate::Limits) for the meaning of extreme values.
    pub struct EventStoreLimits {
        /// How long a request may take, from the call to its answer; 5 s.
        answer: Duration = Duration::from_secs(5),
        /// How long a SQLite file may be locked by another program, such as a tool that looks into it, before a request
        /// fails; 5 s.
        locked_file: Duration = Duration::from_secs(5),
        /// How long an append, or a read, waits for a store that is being restarted; 2 s.
        restart: Duration = Duration::from_secs(2),
        /// How long a query may take, waiting for its turn included, that does not say
        /// [otherwise](crate::Query::within); 10 s.
        query_time: Duration = Duration::from_secs(10),
        /// How many events a query may find that does not say [how many it wants](crate::Query::limit); 100,000.
        query_events: usize = 100_000,
        /// The first pause before a log is opened again that has failed once more; each next one is twice as long. 100 ms,
        /// at least 1 ms.
        reopen_first: Duration = Duration::from_millis(100),
        /// The longest of these pauses; 10 s.
        reopen_longest: Duration = Duration::from_secs(10),
        /// How long a log has to work for its next failure to count as the first one of another outage, after which it is
        /// opened again at once; 60 s.
        reopen_steady: Duration = Duration::from_secs(60),
        /// The first pause of a subscription before it reads a log again that it could not read; each next one is twice as
        /// long. 50 ms, at least 1 ms.
        read_again_first: Duration = Duration::from_millis(50),
        /// The longest of these pauses; 5 s.
        read_again_longest: Duration = Duration::from_secs(5),
        /// The pause before it is tried again to park an event that the store could not park; 5 s, at least 1 ms.
        park_again: Duration = Duration::from_secs(5),
    }
}
