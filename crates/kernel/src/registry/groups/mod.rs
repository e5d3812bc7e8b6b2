//! Groups: many actors under one key.
//!
//! Built on a table of the namespace and not on ractor's process groups: those are one table for the whole process,
//! which takes locks to read and copies the members at each read; see `docs/design.md`.

mod dispatch;
mod error;
mod facade;
mod group;
mod key;
mod member;
mod member_list;
mod membership;
mod replies;
mod table;

pub use error::{GroupCastError, GroupError};
pub use group::Group;
pub use key::GroupKey;
pub(crate) use member::Member;
pub(crate) use membership::Membership;
pub use replies::Replies;
pub(crate) use table::Groups;
