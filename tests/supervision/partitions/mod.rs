//! Section 8, partitions: Elixir's tests of its `PartitionSupervisor`. Each `part_8_…` names the behaviour it shows.
//!
//! Its other tests cannot exist here: names and `via` tuples as ids (a handle is a value), arguments appended
//! to a start (the start is a closure), and starting without a name or a child (it does not compile). A wrong
//! `auto_shutdown` belongs to significant children.

mod lookup;
mod resize;
mod routing;
mod starting;

use std::sync::Arc;

use foundation::ractor::{ActorId, ActorRef};
use foundation::supervision::{PartitionSupervisor, PartitionSupervisorSpec, Reporter, SupervisorSpec};
use foundation::{ChildSpec, Strategy, Supervisor};
use foundation_testkit::{Command, Log, Puppet, Reports, reports};

type Shards = PartitionSupervisor<ActorRef<Command>>;

/// One puppet at each partition.
struct Hall {
    log: Log,
    puppets: Arc<[Puppet]>,
}

impl Hall {
    fn of(partitions: usize) -> Self {
        let log = Log::new();
        let puppets = (0..partitions).map(|partition| Puppet::new(&partition.to_string(), &log)).collect();
        Self { log, puppets }
    }

    fn spec(&self) -> PartitionSupervisorSpec<ActorRef<Command>> {
        let puppets = Arc::clone(&self.puppets);
        let start = move |partition: usize| (puppets[partition].actor(), ());
        PartitionSupervisorSpec::workers(self.puppets.len(), start).expect("it has partitions")
    }

    fn ids(&self) -> Vec<ActorId> {
        self.puppets.iter().map(Puppet::id).collect()
    }

    fn alive(&self) -> Vec<usize> {
        self.puppets.iter().map(Puppet::alive).collect()
    }

    async fn open(&self) -> (Shards, Reports) {
        let (reporter, reports) = reports();
        let spec = self.spec().reporter(reporter);
        (PartitionSupervisor::start("shards", spec).await.expect("it starts"), reports)
    }
}

fn running(shards: &Shards) -> Vec<ActorId> {
    shards.running().iter().map(|actor| actor.get_id()).collect()
}

/// The partitions as the child `shards` of another supervisor.
async fn within(spec: PartitionSupervisorSpec<ActorRef<Command>>, reporter: impl Reporter) -> (Supervisor, Shards) {
    let shards = spec.handle();
    let child = ChildSpec::partition_supervisor("shards", spec);
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(child).reporter(reporter);
    (Supervisor::start("top", spec).await.expect("it starts"), shards)
}
