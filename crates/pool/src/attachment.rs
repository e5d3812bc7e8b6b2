//! Whether a supervisor can start a pool, for the first time or again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::drain::{close, deliver};
use crate::shared::Shared;

/// The tie of a pool to a supervisor that has its description, and so may start it again. With the last one all jobs go to
/// their owners, once the pool has been started: no life of it comes that would perform them.
pub(crate) struct Attachment<J, T>(Arc<Shared<J, T>>);

impl<J, T> Attachment<J, T> {
    pub(crate) fn new(shared: &Arc<Shared<J, T>>) -> Self {
        shared.attachments.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(shared))
    }
}

impl<J, T> Drop for Attachment<J, T> {
    fn drop(&mut self) {
        let Self(shared) = self;
        // Read first: a life that another supervisor begins meanwhile is not closed.
        let life = shared.queue.life();
        let is_last = shared.attachments.fetch_sub(1, Ordering::AcqRel) == 1;
        // Also in a life that was drained: its jobs have gone then.
        if !is_last || !shared.crew.has_begun() || shared.queue.is_closed() {
            return;
        }
        deliver(&shared.queue, close(&shared.queue, life));
    }
}
