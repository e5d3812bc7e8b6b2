//! Discovery in a namespace: the client, its watches, and the selectors that choose an instance for each call.

mod alarm;
mod checker;
mod discovery;
mod error;
mod lease;
mod notice;
mod options;
mod remote;
mod restart;
mod selector;
mod state;
mod watch;

pub use discovery::Discovery;
pub use error::{CallInstanceError, DiscoveryError, PickError};
pub use lease::{InstanceLease, LeaseLostError};
pub(crate) use notice::{Notice, NoticeReader, Noticed};
pub use options::DiscoveryOptions;
pub use remote::Remote;
pub use restart::RestartInstance;
pub use selector::{Picked, Selector};
pub use watch::{InstanceWatch, InstanceWatched};
