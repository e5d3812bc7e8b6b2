//! The membership of an actor in one group of one table.

use std::sync::Arc;

use super::member::Member;
use super::table::Groups;
use crate::namespace::ServiceName;

/// A membership, to be ended when its actor ends.
pub(crate) struct Membership {
    pub(crate) groups: Arc<Groups>,
    pub(crate) group: ServiceName,
    pub(crate) member: Arc<Member>,
}

impl Membership {
    /// Takes the member out of its group; true if it was in it.
    pub(crate) fn end(&self) -> bool {
        self.groups.take_out(self.group.as_str(), &[&self.member]) == 1
    }
}
