//! The table of groups, without the public methods of a group.

#[path = "../../../kernel/src/registry/groups/key.rs"]
pub(crate) mod key;
#[path = "../../../kernel/src/registry/groups/table.rs"]
pub(crate) mod table;

pub(crate) use table::{Member, MemberMonitor, Membership};
