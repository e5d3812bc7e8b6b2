//! The set-up of every row: a runtime, a namespace, and an actor under a name here and in ractor's own table.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foundation::names::{ProcessRegistry, ServiceRegistry};
use foundation::ractor::registry::where_is;
use foundation::ractor::{Actor, ActorRef};
use foundation::{Namespace, ServiceKey};
use tokio::runtime::{Builder, Runtime};

use crate::actors::{ECHO, Echo, EchoMsg};
use crate::sample::{Batch, Sample};

/// The label of ractor's own look-up in the table.
pub(crate) const WHERE_IS: &str = "ractor where_is";

/// A runtime with an empty namespace.
pub(crate) struct Stage {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) registry: ServiceRegistry,
    /// ractor's names are global to the process: those of one stage begin with this.
    pub(crate) prefix: String,
}

impl Stage {
    pub(crate) fn set() -> Self {
        let runtime = Arc::new(runtime());
        let registry = runtime.block_on(async {
            let registry = started(ProcessRegistry::start().await);
            started(registry.namespace(Namespace::test()).await)
        });
        Self { runtime, registry, prefix: Namespace::test().to_string() }
    }

    /// Starts an echo under this key.
    pub(crate) fn spawn(&self, key: &ServiceKey<EchoMsg>) -> ActorRef<EchoMsg> {
        started(self.runtime.block_on(self.registry.spawn(key, Echo, ())))
    }

    /// Starts an echo that only ractor knows, and returns its name.
    pub(crate) fn spawn_bare(&self, name: &str) -> (String, ActorRef<EchoMsg>) {
        let name = format!("{}-{name}", self.prefix);
        let (actor, _) = started(self.runtime.block_on(Actor::spawn(Some(name.clone()), Echo, ())));
        (name, actor)
    }

    /// The key of the echo that most rows look up, with the echo started.
    pub(crate) fn echo(&self) -> &'static ServiceKey<EchoMsg> {
        self.spawn(&ECHO);
        &ECHO
    }

    /// Looks up one name in ractor's table.
    pub(crate) fn where_is(&self) -> impl Fn() -> bool + Clone + Send + use<> {
        let (name, _) = self.spawn_bare("echo");
        move || where_is(name.as_str()).is_some()
    }
}

/// Two workers, as most of the table's machines have.
pub(crate) fn runtime() -> Runtime {
    started(Builder::new_multi_thread().worker_threads(2).enable_all().build())
}

/// Runs a future as a task of the runtime, so that no wake from a foreign thread is measured with it; it returns its
/// duration itself.
pub(crate) fn as_task<'a, F>(runtime: &Arc<Runtime>, mut work: impl FnMut(u64) -> F + 'a) -> Batch<'a>
where
    F: Future<Output = Duration> + Send + 'static,
{
    let runtime = Arc::clone(runtime);
    Box::new(move |operations| Sample::Took(started(runtime.block_on(runtime.spawn(work(operations))))))
}

/// Runs this many operations, divided among this many tasks, each one after the other; what they return is dropped.
pub(crate) async fn divided<F>(
    operations: u64,
    tasks: u64,
    operation: impl Fn(u64) -> F + Clone + Send + Sync + 'static,
) -> Duration
where
    F: Future<Output: Send> + Send,
{
    let begun = Instant::now();
    let running = (0..tasks).map(|task| {
        let operation = operation.clone();
        tokio::spawn(async move {
            for number in (task..operations).step_by(tasks as usize) {
                operation(number).await;
            }
        })
    });
    for task in running.collect::<Vec<_>>() {
        started(task.await);
    }
    begun.elapsed()
}

/// A benchmark whose set-up fails has nothing to measure.
pub(crate) fn started<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("a benchmark cannot be set up: {error}"))
}
