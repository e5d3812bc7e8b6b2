//! What one would write without a pool: tasks with channels, and tasks behind a semaphore.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};

use super::engine::{Engine, Tally, Work};
use crate::stage::{Stage, started};

/// A task with a channel for each worker, in turns: no bound, no restart, no figures.
#[derive(Clone)]
pub(super) struct Channels {
    workers: Arc<[mpsc::UnboundedSender<Work>]>,
    tally: Tally,
}

impl Channels {
    pub(super) fn start(stage: &Stage, workers: usize) -> Self {
        let tally = Tally::default();
        let workers = (0..workers).map(|_| {
            let (sender, mut jobs) = mpsc::unbounded_channel();
            let tally = tally.clone();
            stage.runtime.spawn(async move {
                while let Some(work) = jobs.recv().await {
                    tally.perform(work);
                }
            });
            sender
        });
        Self { workers: workers.collect(), tally: tally.clone() }
    }
}

impl Engine for Channels {
    fn tally(&self) -> &Tally {
        &self.tally
    }

    async fn put(&self, number: u64, work: Work) {
        started(self.workers[number as usize % self.workers.len()].send(work));
    }
}

/// A task for each job, once there is a permit for it.
#[derive(Clone)]
pub(super) struct Spawned {
    permits: Arc<Semaphore>,
    tally: Tally,
}

impl Spawned {
    pub(super) fn new(workers: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(workers)), tally: Tally::default() }
    }
}

impl Engine for Spawned {
    fn tally(&self) -> &Tally {
        &self.tally
    }

    async fn put(&self, _: u64, work: Work) {
        let permit = started(Arc::clone(&self.permits).acquire_owned().await);
        let tally = self.tally.clone();
        tokio::spawn(async move {
            tally.perform(work);
            drop(permit);
        });
    }
}
