//! What an exporter may export.

use std::sync::OnceLock;

use foundation_events::EventStore;
use foundation_kernel::names::ServiceName;

use crate::batch::Batch;

/// The numbers and the events of a namespace, for all attempts of one export. The numbers are read when they are first needed.
pub(crate) struct Source<'a> {
    /// The exporter that asks.
    pub(crate) exporter: &'a ServiceName,
    pub(crate) events: &'a EventStore,
    read: &'a (dyn Fn() -> Batch + Sync),
    batch: OnceLock<Batch>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(exporter: &'a ServiceName, events: &'a EventStore, read: &'a (dyn Fn() -> Batch + Sync)) -> Self {
        Self { exporter, events, read, batch: OnceLock::new() }
    }

    pub(crate) fn batch(&self) -> &Batch {
        self.batch.get_or_init(self.read)
    }

    /// How many series had no room, if the numbers were read.
    pub(crate) fn dropped(&self) -> usize {
        self.batch.get().map_or(0, Batch::dropped)
    }
}
