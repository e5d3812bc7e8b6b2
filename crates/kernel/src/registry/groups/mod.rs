//! Groups: many actors under one key.
//!
//! Built on a table of the namespace and not on ractor's process groups: those are one table for the whole process,
//! which takes locks to read and copies the members at each read; see `docs/design.md`.

mod error;
mod group;
mod key;
mod replies;
mod table;

pub use error::{GroupCastError, GroupError};
pub use group::Group;
pub use key::GroupKey;
pub use replies::Replies;

pub(super) use self::{
    group::GroupScope,
    table::{Member, MemberMonitor, Membership},
};
