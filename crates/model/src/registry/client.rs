//! A watch, without the other operations of a namespace.

#[path = "../../../kernel/src/registry/client/change.rs"]
pub(crate) mod change;
#[path = "../../../kernel/src/registry/client/watch.rs"]
pub(crate) mod watch;
