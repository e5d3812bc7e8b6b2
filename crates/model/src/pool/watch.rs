//! Events that nothing sees.

use crate::event::PoolEvent;

#[derive(Debug, Default)]
pub(crate) struct Events;

impl Events {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn is_observed(&self) -> bool {
        false
    }

    pub(crate) fn emit(&self, _: PoolEvent) {}
}
