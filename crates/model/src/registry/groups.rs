//! The tables of groups, without the public methods of a group.

#[path = "../../../core/src/registry/groups/key.rs"]
pub(crate) mod key;
#[path = "../../../core/src/registry/groups/member.rs"]
pub(crate) mod member;
#[path = "../../../core/src/registry/groups/member_list.rs"]
pub(crate) mod member_list;
#[path = "../../../core/src/registry/groups/membership.rs"]
mod membership;
#[path = "../../../core/src/registry/groups/table.rs"]
pub(crate) mod table;

pub(crate) use member::Member;
pub(crate) use membership::Membership;
