//! The tables of groups, without the public methods of a group.

#[path = "../../../kernel/src/registry/groups/key.rs"]
pub(crate) mod key;
#[path = "../../../kernel/src/registry/groups/member.rs"]
pub(crate) mod member;
#[path = "../../../kernel/src/registry/groups/member_list.rs"]
pub(crate) mod member_list;
#[path = "../../../kernel/src/registry/groups/membership.rs"]
mod membership;
#[path = "../../../kernel/src/registry/groups/table.rs"]
pub(crate) mod table;

pub(crate) use member::Member;
pub(crate) use membership::Membership;
