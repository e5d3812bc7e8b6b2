//! What is special about a job.

use std::time::Duration;

use super::key::JobKey;
use crate::queue::keys::KeySlot;

/// What is special about a job. Most jobs have nothing special, so a record keeps it in a box.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobOptions {
    /// Its level, the most urgent is 0; beyond the last it is the last.
    pub(crate) priority: u8,
    pub(crate) key: Option<JobKey>,
    /// What its worker is chosen by, instead of the key.
    pub(crate) label: Option<JobKey>,
    /// The place of its key, once the job is the first of it.
    pub(crate) key_slot: Option<KeySlot>,
    /// Of the jobs with the same one, the pool has at most one.
    pub(crate) unique: Option<JobKey>,
    /// The longest time that it may wait, instead of the pool's.
    pub(crate) deadline: Option<Duration>,
    /// The time before which it is not begun.
    pub(crate) delay: Option<Duration>,
}

impl JobOptions {
    /// What a record has to keep, if there is anything.
    pub(crate) fn kept(self) -> Option<Box<Self>> {
        let keyless = self.key.is_none() && self.label.is_none() && self.unique.is_none();
        let plain = keyless && self.deadline.is_none() && self.delay.is_none();
        (!plain).then(|| Box::new(self))
    }
}
