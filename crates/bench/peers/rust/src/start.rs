//! Starting a named actor through ractor-supervisor's dynamic supervisor.

use std::time::{Duration, Instant};

use ractor::ActorRef;
use ractor_supervisor::{
    ChildSpec, DynamicSupervisor, DynamicSupervisorMsg, DynamicSupervisorOptions, Restart, SpawnFn,
};

use crate::actors::Echo;
use crate::{Batch, Sample, runtime, started};

/// The number of actors alive at once; they are then stopped, which is not measured.
const ROUND: u64 = 256;

type Supervisor = ActorRef<DynamicSupervisorMsg>;

pub(crate) fn supervise() -> Batch {
    let runtime = runtime();
    let options = DynamicSupervisorOptions {
        max_children: None,
        max_restarts: 1_000_000,
        max_window: Duration::from_millis(1),
        reset_after: None,
    };
    let (supervisor, _) = started(runtime.block_on(DynamicSupervisor::spawn("dynamic".to_owned(), options)));
    Box::new(move |operations| {
        let supervisor = supervisor.clone();
        Sample::Took(started(runtime.block_on(runtime.spawn(rounds(operations, supervisor)))))
    })
}

async fn rounds(operations: u64, supervisor: Supervisor) -> Duration {
    let (mut took, mut left) = (Duration::ZERO, operations);
    while left > 0 {
        let round = left.min(ROUND);
        let begun = Instant::now();
        for n in 0..round {
            started(DynamicSupervisor::spawn_child(supervisor.clone(), child(n)).await);
        }
        took += begun.elapsed();
        for n in 0..round {
            started(DynamicSupervisor::terminate_child(supervisor.clone(), child(n).id).await);
            if let Some(actor) = ractor::registry::where_is(child(n).id) {
                started(actor.wait(None).await);
            }
        }
        left -= round;
    }
    took
}

fn child(n: u64) -> ChildSpec {
    let spawn = SpawnFn::new(|supervisor, name| async {
        Ok(DynamicSupervisor::spawn_linked(name, Echo, (), supervisor).await?.0.get_cell())
    });
    ChildSpec {
        id: format!("bench-{n}"),
        restart: Restart::Temporary,
        spawn_fn: spawn,
        backoff_fn: None,
        reset_after: None,
    }
}
