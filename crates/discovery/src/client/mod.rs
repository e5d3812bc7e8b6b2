//! Discovery in a namespace: the client, its watches, and the selectors that choose an instance for each call.

mod alarm;
mod checker;
mod discovery;
mod error;
mod lease;
mod notice;
mod options;
mod selector;
mod state;
mod watch;

pub use checker::InstanceCheck;
pub use discovery::Discovery;
pub use error::{CallInstanceError, DiscoveryError, PickError};
pub use lease::{InstanceLease, LeaseLostError, Remote};
pub(crate) use notice::{Notice, NoticeReader, Noticed};
pub use options::DiscoveryOptions;
pub use selector::{Picked, Selector};
pub use watch::{InstanceWatch, InstanceWatched};
