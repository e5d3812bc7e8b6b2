//! Discovery in a namespace: the client, its watches, and the selectors that choose an instance for each call.

mod alarm;
mod calls;
mod candidates;
mod checker;
mod declared;
mod discovery;
mod error;
mod fitting;
mod lease;
mod notice;
mod now;
mod options;
mod picked;
mod restart;
mod selector;
mod state;
mod watch;

pub use candidates::CandidateReport;
pub use declared::CheckHandle;
pub use discovery::Discovery;
pub use error::{CallInstanceError, CastInstanceError, CastInstanceReason, DiscoveryError, PickError};
pub use lease::{InstanceLease, LeaseLostError, Remote};
pub(crate) use notice::{Notice, NoticeReader, Noticed};
pub use options::DiscoveryOptions;
pub use picked::Picked;
pub use restart::RestartInstance;
pub use selector::Selector;
pub use watch::{InstanceWatch, InstanceWatched};
