//! The one place where a namespace ends, whatever the cause.
//!
//! A namespace has ended when the last share of its [`NamespaceEnd`] is dropped. Shares are held by
//!
//! 1. each incarnation of the namespace's supervisor, in what its actor's task drops last: so a stop, a collapse, a
//!    kill, a task that is aborted and a runtime that is dropped all come here;
//! 2. the root, if it starts that supervisor again after its end: the restart of production is no end of it;
//! 3. a clean-up or a shutdown under way: a namespace ends after the foreign actors that are stopped with it.

use std::sync::Arc;

use super::namespace_state::NamespaceState;

pub(crate) struct NamespaceEnd(Arc<NamespaceState>);

impl NamespaceEnd {
    /// The first share.
    pub(super) fn new(state: &Arc<NamespaceState>) -> Self {
        Self(Arc::clone(state))
    }
}

impl Drop for NamespaceEnd {
    fn drop(&mut self) {
        self.0.end();
    }
}
