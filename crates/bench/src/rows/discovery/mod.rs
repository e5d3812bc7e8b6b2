//! Discovery: choosing an instance for each call, finding and watching instances, and leases.

mod cast;
mod checks;
mod find;
mod lease;
mod pick;
mod watching;

use foundation::ractor::ActorRef;
use foundation_discovery::choice::{Choice, Policy, ScoreBy};
use foundation_discovery::{Criteria, Discovery, Instance, InstanceBuilder, Selector};

use crate::actors::{Echo, EchoMsg};
use crate::contest::BenchRow;
use crate::stage::{Stage, started};

/// The number of instances that are chosen among.
const INSTANCES: usize = 10;

pub(crate) fn rows() -> impl Iterator<Item = BenchRow> {
    [pick::rows(), cast::rows(), find::rows(), watching::rows(), lease::rows(), checks::rows()].into_iter().flatten()
}

fn echo(number: usize) -> InstanceBuilder {
    Instance::builder("echo", number.to_string())
}

/// Starts so many echoes as instances of one service.
fn echoes(stage: &Stage, discovery: &Discovery) -> Vec<ActorRef<EchoMsg>> {
    let spawn = |number| {
        let instance = started(echo(number).build());
        started(stage.runtime.block_on(discovery.spawn(&instance, Echo, ())))
    };
    (0..INSTANCES).map(spawn).collect()
}

/// Chooses the better of two echoes. Without a slow start, which the peers do not have.
fn selector(discovery: &Discovery, by: ScoreBy) -> Selector<EchoMsg> {
    let choice = Choice::new().policy(Policy::PowerOfTwo(by)).slow_start(std::time::Duration::ZERO);
    let echoes = Criteria::service(started(echo(0).build()).service());
    discovery.selector(echoes).choice(choice)
}
