//! Finding kameo's actors in a table that holds many, and that has grown by their registration.

use kameo::actor::ActorRef;

use crate::actors::Found;
use crate::pair::repeated;
use crate::{Batch, runtime, started};

const NAMES: usize = 100_000;
/// The number of actors that are looked up, one after the other.
const ASKED: usize = 4_096;

pub(crate) fn random() -> Batch {
    let runtime = runtime();
    let actors: Vec<_> =
        runtime.block_on(async { (0..NAMES).map(|n| Found::spawn_named(&format!("crowd-{n}"))).collect() });
    let names: Vec<_> = scattered().map(|n| format!("crowd-{n}")).collect();
    let mut next = 0;
    repeated(move || {
        let _held = (&runtime, &actors);
        next = (next + 1) % names.len();
        started(ActorRef::<Found>::lookup(names[next].as_str())).is_some()
    })
}

/// The same positions as in the benchmark itself: Knuth's linear congruential generator.
fn scattered() -> impl Iterator<Item = usize> {
    let next =
        |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    std::iter::successors(Some(1_u64), next).skip(1).take(ASKED).map(|state| (state >> 33) as usize % NAMES)
}
