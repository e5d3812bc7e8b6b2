//! From the kill of an actor to the moment at which a caller knows that ractor-supervisor has replaced it.

use std::time::{Duration, Instant};

use ractor::registry::where_is;
use ractor_supervisor::{
    ChildSpec, Restart, SpawnFn, Supervisor, SupervisorArguments, SupervisorOptions, SupervisorStrategy,
};
use tokio::sync::mpsc::unbounded_channel;

use crate::actors::Echo;
use crate::{Batch, Sample, runtime, started};

const NAME: &str = "phoenix";

pub(crate) fn restart() -> Batch {
    let runtime = runtime();
    let (sender, mut starts) = unbounded_channel();
    let spawn = SpawnFn::new(move |supervisor, name| {
        let sender = sender.clone();
        async move {
            let (actor, _) = Supervisor::spawn_linked(name, Echo, (), supervisor).await?;
            let _ = sender.send(());
            Ok(actor.get_cell())
        }
    });
    let child = ChildSpec {
        id: NAME.to_owned(),
        restart: Restart::Permanent,
        spawn_fn: spawn,
        backoff_fn: None,
        reset_after: None,
    };
    let options = SupervisorOptions {
        strategy: SupervisorStrategy::OneForOne,
        max_restarts: 1_000_000,
        max_window: Duration::from_millis(1),
        reset_after: None,
    };
    let arguments = SupervisorArguments { child_specs: vec![child], options };
    started(runtime.block_on(Supervisor::spawn("supervisor".to_owned(), arguments)));
    let mut starts = Some({
        started(runtime.block_on(starts.recv()).ok_or("the child did not start"));
        starts
    });
    Box::new(move |operations| {
        let receiver = starts.take();
        let killing = runtime.spawn(async move {
            let mut receiver = started(receiver.ok_or("the channel is lost"));
            let begun = Instant::now();
            for _ in 0..operations {
                started(where_is(NAME).ok_or("no actor has the name")).kill();
                started(receiver.recv().await.ok_or("the supervisor is gone"));
            }
            (begun.elapsed(), receiver)
        });
        let (took, receiver) = started(runtime.block_on(killing));
        starts = Some(receiver);
        Sample::Took(took)
    })
}
