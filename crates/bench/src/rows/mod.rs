//! All comparisons.

mod handles;
mod lookups;
mod starts;

use foundation::ractor::{Actor, ActorRef};
use foundation::{Namespace, ProcessRegistry, ServiceRegistry};
use tokio::runtime::{Builder, Runtime};

use crate::actors::{ECHO, Echo, EchoMsg};
use crate::row::Row;

pub(crate) fn all() -> Vec<Row> {
    [lookups::rows(), handles::rows(), starts::rows()].into_iter().flatten().collect()
}

pub(crate) fn names() -> Vec<&'static str> {
    all().iter().map(|row| row.name).collect()
}

/// A runtime with one echo under its name here, and one under a name in ractor's own table.
struct Stage {
    runtime: Runtime,
    registry: ServiceRegistry,
    ractor_name: String,
    direct: ActorRef<EchoMsg>,
}

impl Stage {
    fn set() -> Self {
        let runtime = runtime();
        // ractor's names are the process's: each stage needs one that nobody else has.
        let ractor_name = format!("echo-{}", Namespace::test());
        let (registry, direct) = runtime.block_on(async {
            let registry = namespace().await;
            started(registry.spawn(&ECHO, Echo, ()).await);
            let (direct, _) = started(Actor::spawn(Some(ractor_name.clone()), Echo, ()).await);
            (registry, direct)
        });
        Self { runtime, registry, ractor_name, direct }
    }
}

fn runtime() -> Runtime {
    started(Builder::new_multi_thread().worker_threads(2).enable_all().build())
}

async fn namespace() -> ServiceRegistry {
    let registry = started(ProcessRegistry::start().await);
    started(registry.namespace(Namespace::test()).await)
}

/// A benchmark whose set-up fails has nothing to measure.
fn started<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("a benchmark cannot be set up: {error}"))
}
