//! The stage of a scenario, and what is done to the function on it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use foundation::ractor::ActorRef;
use foundation::{
    ChildError, ChildSpec, ConfigSources, DynamicSupervisor, DynamicSupervisorSpec, EventKind, Foundation, NewEvent,
    PartitionSupervisor, PartitionSupervisorSpec, ServiceKey, Services, Strategy, Supervisor, SupervisorSpec,
    TaskSupervisor,
};
use foundation_tests::{Log, Order, Puppet};
use tokio::runtime::Handle;

/// What is left of a function that ends in fewer polls than this.
const MOST_POLLS: usize = 200;
const MOST_TURNS: usize = 10_000;
/// Of the paused clock: only what hangs takes so long.
pub(super) const LONG: Duration = Duration::from_secs(600);

pub(super) static CLERK: ServiceKey<Order> = ServiceKey::new("clerk");
pub(super) const NOTED: EventKind = EventKind::from_static("noted");

/// A foundation with one of everything.
pub(super) struct Scene {
    pub(super) foundation: Foundation,
    pub(super) log: Log,
    /// Played by the child `worker` of [`supervisor`](Self::supervisor), and by that of [`dynamic`](Self::dynamic).
    pub(super) worker: Puppet,
    pub(super) other: Puppet,
    pub(super) supervisor: Supervisor,
    pub(super) dynamic: DynamicSupervisor,
    pub(super) tasks: TaskSupervisor,
    pub(super) shards: PartitionSupervisor<ActorRef<Order>>,
    pub(super) shard: Vec<Puppet>,
}

impl Scene {
    pub(super) async fn new() -> Self {
        let log = Log::new();
        let (worker, other) = (Puppet::new("worker", &log), Puppet::new("other", &log));
        let shard: Vec<_> = (0..3).map(|number| Puppet::new(&format!("shard_{number}"), &log)).collect();
        let played = shard.clone();
        let partitions = PartitionSupervisorSpec::workers(3, move |at| (played[at].actor(), ())).unwrap();
        let shards = partitions.handle();
        let (tree, crowd) = (worker.spec(), other.spec());
        let foundation = Foundation::builder().config(settings()).start().await.unwrap();
        let services = foundation.production();
        let application = services.application().unwrap();
        let team = SupervisorSpec::new(Strategy::OneForOne).child(tree);
        services.supervise(ChildSpec::supervisor("team", team)).await.unwrap();
        services.supervise(ChildSpec::dynamic_supervisor("crowd", DynamicSupervisorSpec::default())).await.unwrap();
        services.supervise(ChildSpec::task_supervisor("tasks", DynamicSupervisorSpec::default())).await.unwrap();
        services.supervise(ChildSpec::partition_supervisor("shards", partitions)).await.unwrap();
        let supervisor = application.supervisor("team").await.unwrap().unwrap();
        let dynamic = application.dynamic_supervisor("crowd").await.unwrap().unwrap();
        let tasks = application.task_supervisor("tasks").await.unwrap().unwrap();
        dynamic.start_child(crowd).await.unwrap();
        for number in 0..5 {
            let event = NewEvent::of(NOTED).payload(number).unwrap();
            foundation.events().append(event).await.unwrap();
        }
        Self { foundation, log, worker, other, supervisor, dynamic, tasks, shards, shard }
    }

    pub(super) fn services(&self) -> &Services {
        self.foundation.production()
    }

    /// Another puppet, in the same log.
    pub(super) fn puppet(&self, name: &str) -> Puppet {
        Puppet::new(name, &self.log)
    }
}

fn settings() -> ConfigSources {
    ConfigSources::new().defaults(serde_json::json!({ "port": 1, "pace": 2 })).unwrap().updatable("port").unwrap()
}

/// A future that is polled so many times at the most.
struct Polled<F> {
    future: Pin<Box<F>>,
    left: usize,
}

impl<F: Future> Future for Polled<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        match self.future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // Dropped right behind its last poll, and not when it would have been woken.
            Poll::Pending if self.left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Polls what `ask` gives n times and drops it, for n from 0 until it ends by itself, in a fresh scene each time. `holds` is
/// told what came of it, if it ended, and checks the scene; then the foundation ends in order, and no task is left.
pub(super) async fn dropped_at_each_poll<T>(ask: impl AsyncFn(&Scene) -> T, holds: impl AsyncFn(&Scene, Option<T>)) {
    for polls in 0..MOST_POLLS {
        let scene = Scene::new().await;
        let outcome = Polled { future: Box::pin(ask(&scene)), left: polls }.await;
        let ended = outcome.is_some();
        let checked = tokio::time::timeout(LONG, holds(&scene, outcome)).await;
        assert!(checked.is_ok(), "after {polls} polls, what follows hangs");
        end(scene, polls).await;
        if ended {
            return;
        }
    }
    panic!("it has not ended after {MOST_POLLS} polls");
}

/// The same for a function that gives a result, and that works when it is called again, whatever became of the first call.
pub(super) async fn works_again<T, E: std::fmt::Debug>(ask: impl AsyncFn(&Scene) -> Result<T, E>) {
    dropped_at_each_poll(&ask, async |scene, outcome| {
        if let Some(outcome) = outcome {
            outcome.map(drop).unwrap();
        }
        ask(scene).await.map(drop).unwrap();
    })
    .await;
}

async fn end(scene: Scene, polls: usize) {
    let stopped = tokio::time::timeout(LONG, scene.foundation.shutdown()).await;
    assert!(stopped.is_ok(), "after {polls} polls, the foundation does not stop");
    drop(scene);
    no_task_is_left(polls).await;
}

/// Nothing tells the end of a task that nobody holds: all of them have their turns.
async fn no_task_is_left(polls: usize) {
    let left = async || Handle::current().metrics().num_alive_tasks();
    let none = comes_true(async || left().await == 0).await;
    assert!(none, "after {polls} polls, {} tasks are left", left().await);
}

/// Lets everybody have turns until this is so; false if it is not after a great many.
pub(super) async fn comes_true(is_so: impl AsyncFn() -> bool) -> bool {
    for _ in 0..MOST_TURNS {
        if is_so().await {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

/// A child that has never come, or is forgotten already, is as good as terminated.
pub(super) fn unless_not_found(error: ChildError) -> Result<(), ChildError> {
    match error {
        ChildError::NotFound { .. } => Ok(()),
        error => Err(error),
    }
}
