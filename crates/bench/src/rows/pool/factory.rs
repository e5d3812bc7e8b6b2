//! ractor's factory.

use foundation::local_message;
use foundation::ractor::factory::queues::DefaultQueue;
use foundation::ractor::factory::routing::{KeyPersistentRouting, QueuerRouting, Router};
use foundation::ractor::factory::{
    Factory, FactoryArguments, FactoryMessage, FactoryRef, Job, Worker, WorkerId, worker_builder,
};
use foundation::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use tokio::sync::oneshot;

use super::engine::{Engine, Tally, Work};
use super::size::{Life, Lives};
use crate::stage::{Stage, started};

/// A job of the factory: some work, and whoever waits for it.
pub(crate) struct FactoryJob {
    work: Work,
    reply: Option<RpcReplyPort<u64>>,
    /// Until whose sender is dropped the job is not done.
    held: Option<oneshot::Receiver<()>>,
}
local_message!(FactoryJob);

impl FactoryJob {
    pub(crate) fn new(work: Work) -> Self {
        Self { work, reply: None, held: None }
    }

    pub(super) fn call(reply: RpcReplyPort<u64>) -> Self {
        Self { reply: Some(reply), ..Self::new(Work::Nothing) }
    }

    pub(crate) fn held(until: oneshot::Receiver<()>) -> Self {
        Self { held: Some(until), ..Self::new(Work::Nothing) }
    }
}

/// How the factory chooses a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FactoryKind {
    /// Any that is free.
    Queuer,
    /// The one of the job's key.
    KeyPersistent,
}

/// Counts its life in the tally of lives, if there is one.
pub(crate) struct FactoryWorker {
    tally: Tally,
    life: Option<Lives>,
}

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Worker for FactoryWorker {
    type Key = u64;
    type Message = FactoryJob;
    type State = Option<Life>;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: WorkerId,
        _: &ActorRef<FactoryMessage<u64, FactoryJob>>,
        (): (),
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(self.life.as_ref().map(Lives::begin))
    }

    async fn handle(
        &self,
        _: WorkerId,
        _: &ActorRef<FactoryMessage<u64, FactoryJob>>,
        Job { key, msg, .. }: Job<u64, FactoryJob>,
        _: &mut Self::State,
    ) -> Result<u64, ActorProcessingErr> {
        if let Some(until) = msg.held {
            // An error: the sender is dropped.
            let _ = until.await;
        }
        self.tally.perform(msg.work);
        if let Some(reply) = msg.reply {
            // The caller may have stopped waiting.
            let _ = reply.send(1);
        }
        Ok(key)
    }
}

/// Starts a factory with this many workers.
pub(crate) async fn start(
    kind: FactoryKind,
    workers: usize,
    tally: Tally,
    life: Option<Lives>,
) -> FactoryRef<u64, FactoryJob> {
    match kind {
        FactoryKind::Queuer => start_with(QueuerRouting::default(), workers, tally, life).await,
        FactoryKind::KeyPersistent => start_with(KeyPersistentRouting::default(), workers, tally, life).await,
    }
}

async fn start_with<R: Router<u64, FactoryJob>>(
    router: R,
    workers: usize,
    tally: Tally,
    life: Option<Lives>,
) -> FactoryRef<u64, FactoryJob> {
    let build = move |_| (FactoryWorker { tally: tally.clone(), life: life.clone() }, ());
    let arguments = FactoryArguments::builder()
        .worker_builder(Box::new(worker_builder(build)))
        .num_initial_workers(workers)
        .router(router)
        .queue(DefaultQueue::default())
        .build();
    started(Actor::spawn(None, Factory::default(), arguments).await).0
}

/// A factory that performs jobs.
#[derive(Clone)]
pub(super) struct TheirFactory {
    pub(super) factory: FactoryRef<u64, FactoryJob>,
    tally: Tally,
    keys: u64,
}

impl TheirFactory {
    pub(super) fn start(stage: &Stage, kind: FactoryKind, workers: usize) -> Self {
        let tally = Tally::default();
        let factory = stage.runtime.block_on(start(kind, workers, tally.clone(), None));
        Self { factory, tally, keys: 1_000 }
    }
}

impl Engine for TheirFactory {
    fn tally(&self) -> &Tally {
        &self.tally
    }

    async fn put(&self, number: u64, work: Work) {
        started(self.factory.dispatch(number % self.keys, FactoryJob::new(work)));
    }
}
