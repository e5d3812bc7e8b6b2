//! The server of a configuration: changes at run time, recorded and applied; reading and subscribing.

mod actor;
mod client;
mod commit;
mod current;
mod journal;
mod limits;
mod note;
mod outcome;
mod section_handle;
mod status;
mod step;
mod transaction;
mod update_error;

pub use client::ConfigServer;
pub use commit::{ConfigChanged, ConfigCommit};
pub use current::{ConfigSubscription, LaggedError, SectionChanged, SectionSubscription};
pub use journal::{ChangeCause, ConfigRecord};
pub use limits::ConfigServerLimits;
pub use note::ChangeNote;
pub use outcome::ConfigOutcome;
pub use section_handle::Section;
pub use status::ConfigStatus;
pub use transaction::Transaction;
pub use update_error::ConfigUpdateError;
