//! From a handle that survives restarts to the current actor.

use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::sample::repeated;
use crate::stage::{Stage, WHERE_IS};

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("via_resolve_owned", 1, owned), BenchRow::new("via_resolve_shared", 1, shared)]
}

fn owned(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let mut via = stage.registry.via(stage.echo());
    let ours = repeated(move || via.resolve().is_ok());
    contest.between(ours, [Peer::new(WHERE_IS, 0.05, repeated(stage.where_is()))])
}

fn shared(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let via = stage.registry.via(stage.echo());
    let ours = repeated(|| via.with(|_| ()).is_ok());
    contest.between(ours, [Peer::new(WHERE_IS, 0.15, repeated(stage.where_is()))])
}
