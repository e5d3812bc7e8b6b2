//! Discovery in a namespace: the client, its watches, and the selectors that choose an instance for each call.

mod alarm;
mod calls;
mod checker;
mod declared_runs;
mod discovery;
mod drain;
mod error;
mod heartbeat;
mod lease;
mod leases;
mod marks;
mod notice;
mod now;
mod options;
mod places;
mod registration;
mod selector;
mod state;
mod watch;

pub use discovery::Discovery;
pub use drain::Drained;
pub use error::{
    CallInstanceError, CastInstanceError, CastInstanceReason, DiscoveryError, LeaseLostError, OtherInstances, PickError,
};
pub use heartbeat::{Heartbeat, HeartbeatTooLateError};
pub use lease::InstanceLease;
pub use lease::heartbeat::HeartbeatTask;
pub(crate) use notice::{Notice, NoticeReader, ReceivedNotice};
pub use options::{DiscoveryOptions, RestartInstance};
pub use registration::InstanceRegistration;
pub use selector::Selector;
pub use selector::candidates::CandidateReport;
pub use selector::picked::Picked;
pub use watch::{InstanceWatch, InstanceWatched};
