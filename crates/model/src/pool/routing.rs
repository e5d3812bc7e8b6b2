//! Routing to the first slot that is open: the choice itself is pure, and orders nothing.

use crate::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Routing {
    #[default]
    Shared,
    Routed,
    Pinned,
}

impl Routing {
    pub(crate) fn is_shared(self) -> bool {
        self == Self::Shared
    }

    pub(crate) fn is_pinned(self) -> bool {
        self == Self::Pinned
    }

    pub(crate) fn needs_times(self) -> bool {
        false
    }
}

pub(crate) struct Router {
    routing: Routing,
    open: Vec<usize>,
}

impl Router {
    pub(crate) fn new(routing: Routing) -> Self {
        Self { routing, open: Vec::new() }
    }

    pub(crate) fn routing(&self) -> Routing {
        self.routing
    }

    pub(crate) fn set_routing(&mut self, routing: Routing) {
        self.routing = routing;
    }

    pub(crate) fn open(&mut self, slot: usize, _: Instant) {
        self.close(slot);
        self.open.push(slot);
    }

    pub(crate) fn close(&mut self, slot: usize) {
        self.open.retain(|open| *open != slot);
    }

    pub(crate) fn timer(&self, _: usize) -> Option<JobTimer> {
        None
    }

    pub(crate) fn route(
        &mut self,
        _: Option<&[u8]>,
        _: impl Fn(usize) -> usize,
        _: impl FnOnce() -> Instant,
    ) -> Option<usize> {
        if self.routing.is_shared() { None } else { self.open.iter().min().copied() }
    }
}

pub(crate) struct JobTimer;

impl JobTimer {
    pub(crate) fn end_batch(&mut self, _: usize, _: bool) {}

    pub(crate) fn begin(&mut self) {}

    pub(crate) fn end(&mut self, _: bool) {}
}
