//! Borrowing an actor by its name for the duration of a closure.

use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::pair::paired;
use crate::sample::repeated;
use crate::stage::{Stage, WHERE_IS, started};

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("with_1t", 1, alone), BenchRow::new("with_2t_same_name", 2, same_name)]
}

fn alone(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let key = stage.echo();
    let ours = repeated(|| started(stage.registry.with(key, |actor| actor.get_id().pid())));
    contest.between(ours, [Peer::new(WHERE_IS, 0.6, repeated(stage.where_is()))])
}

fn same_name(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let key = stage.echo();
    let ours = paired([(); 2].map(|()| || started(stage.registry.with(key, |actor| actor.get_id().pid()))));
    let where_is = stage.where_is();
    contest.between(ours, [Peer::new(WHERE_IS, 0.2, paired([where_is.clone(), where_is]))])
}
