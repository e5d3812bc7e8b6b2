//! The messages of the event store's actor, and the name under which it gets them.

use foundation_kernel::local_message;
use foundation_kernel::names::ServiceKey;

use super::retention::RetentionRun;

/// The name of the event store in each namespace.
pub(super) const EVENT_STORE: ServiceKey<EventStoreMsg> = ServiceKey::from_static("event_store");

pub(super) enum EventStoreMsg {
    /// The log has failed; its writer has ended, or will.
    Failed,
    /// It is time to open the log again.
    Reopen,
    /// It is time for a run of the retention.
    BeginRetention,
    /// The run goes on.
    ContinueRetention(RetentionRun),
}
local_message!(EventStoreMsg);
