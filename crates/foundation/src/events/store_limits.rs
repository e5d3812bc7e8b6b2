//! How long the steps of an event store may take.

use std::time::Duration;

foundation_core::limits! {
    /// How long the steps of an event store may take. See [`Limits`](crate::Limits) for the meaning of extreme values.
    pub struct EventStoreLimits {
        /// How long a request may take, from the call to its answer; 5 s.
        answer: Duration = Duration::from_secs(5),
        /// How long a SQLite file may be locked by another program, such as a tool that looks into it, before a request
        /// fails; 5 s.
        locked_file: Duration = Duration::from_secs(5),
    }
}
