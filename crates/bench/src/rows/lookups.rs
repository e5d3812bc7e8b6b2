//! Finding an actor by its name.

use std::time::Duration;

use foundation::ractor::registry::where_is;

use super::{Stage, started};
use crate::actors::ECHO;
use crate::measure::{Effort, compare, repeated};
use crate::row::Row;

pub(super) fn rows() -> Vec<Row> {
    let peer = "ractor where_is";
    vec![
        Row { name: "lookup_1t", peer, limit: 1.15, threads: 1, run: lookup },
        Row { name: "with_1t", peer, limit: 0.6, threads: 1, run: with },
    ]
}

fn where_is_batch(stage: &Stage) -> impl FnMut(u64) -> Duration + use<> {
    let name = stage.ractor_name.clone();
    repeated(move || where_is(name.as_str()))
}

fn lookup(effort: &Effort) -> (f64, f64) {
    let stage = Stage::set();
    let registry = stage.registry.clone();
    compare(effort, &mut repeated(|| registry.lookup(&ECHO)), &mut where_is_batch(&stage))
}

fn with(effort: &Effort) -> (f64, f64) {
    let stage = Stage::set();
    let registry = stage.registry.clone();
    let ours = || started(registry.with(&ECHO, |actor| actor.get_id()));
    compare(effort, &mut repeated(ours), &mut where_is_batch(&stage))
}
