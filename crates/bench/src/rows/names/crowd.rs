//! Finding actors in a table that holds many, and that has grown by their registration.

use foundation::ServiceKey;
use foundation::ractor::registry::where_is;

use crate::actors::EchoMsg;
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::sample::repeated;
use crate::stage::{Stage, WHERE_IS, started};

const NAMES: usize = 100_000;
/// The number of actors that are looked up, one after the other.
const ASKED: usize = 4_096;

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("lookup_random_100k", 1, random)]
}

fn random(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let (keys, names) = populate(&stage);
    let (mut key, mut name) = (keys.iter().cycle(), names.iter().cycle());
    let ours = repeated(|| key.next().map(|key| started(stage.registry.lookup(key))));
    let peer = repeated(|| name.next().map(|name| where_is(name.as_str())));
    contest.between(ours, [Peer::new(WHERE_IS, 1.6, peer)])
}

/// The same actors are in both tables, and the same ones are looked up in the same order.
fn populate(stage: &Stage) -> (Vec<ServiceKey<EchoMsg>>, Vec<String>) {
    let register = |n: usize| {
        let (name, actor) = stage.spawn_bare(&format!("crowd-{n}"));
        let key: ServiceKey<EchoMsg> = started(ServiceKey::new(format!("crowd-{n}")));
        started(stage.runtime.block_on(stage.registry.register(&key, &actor)));
        (key, name)
    };
    let all: Vec<_> = (0..NAMES).map(register).collect();
    scattered().map(|n| all[n].clone()).unzip()
}

/// Positions in an order that no cache predicts, the same in each run: Knuth's linear congruential generator.
fn scattered() -> impl Iterator<Item = usize> {
    let next =
        |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    std::iter::successors(Some(1_u64), next).skip(1).take(ASKED).map(|state| (state >> 33) as usize % NAMES)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_names_asked_for_are_spread_over_all() {
        let asked: HashSet<_> = scattered().collect();
        assert!(asked.len() > ASKED * 9 / 10);
        assert!(asked.iter().any(|n| *n < NAMES / 100) && asked.iter().any(|n| *n > NAMES * 99 / 100));
    }
}
