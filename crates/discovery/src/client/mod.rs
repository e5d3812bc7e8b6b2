//! Discovery in a namespace: the client, its watches, and the selectors that choose an instance for each call.

mod alarm;
mod calls;
mod checker;
mod discovery;
mod drain;
mod error;
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
pub use error::{CallInstanceError, CastInstanceError, CastInstanceReason, DiscoveryError, OtherInstances, PickError};
pub use lease::heartbeat::HeartbeatTask;
pub use lease::{InstanceLease, LeaseLostError};
pub(crate) use notice::{Notice, NoticeReader, ReceivedNotice};
pub use options::{DiscoveryOptions, RestartInstance};
pub use registration::InstanceRegistration;
pub use selector::Selector;
pub use selector::candidates::CandidateReport;
pub use selector::picked::Picked;
pub use watch::{InstanceWatch, InstanceWatched};
