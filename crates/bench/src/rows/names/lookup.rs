//! Finding an actor by its name: namespaced, typed, counted, liveness-checked, returning an owned reference.

use foundation::ServiceKey;
use foundation::names::ServiceRegistry;
use foundation::ractor::registry::where_is;

use crate::actors::EchoMsg;
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::pair::paired;
use crate::sample::repeated;
use crate::stage::{Stage, WHERE_IS, started};

pub(super) fn rows() -> Vec<BenchRow> {
    vec![
        BenchRow::new("lookup_1t", 1, alone),
        BenchRow::new("lookup_2t_own_names", 2, own_names),
        BenchRow::new("lookup_2t_same_name", 2, same_name).elixir(0.6),
    ]
}

fn alone(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let key = stage.echo();
    let ours = repeated(|| started(stage.registry.lookup(key)));
    contest.between(ours, [Peer::new(WHERE_IS, 1.15, repeated(stage.where_is()))])
}

fn own_names(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let keys = ["one", "other"].map(ServiceKey::<EchoMsg>::from_static);
    let names = ["one", "other"].map(|name| stage.spawn_bare(name).0);
    keys.iter().for_each(|key| drop(stage.spawn(key)));
    let ours = paired(keys.each_ref().map(|key| finding(&stage.registry, key)));
    let peer = paired(names.each_ref().map(|name| || where_is(name.as_str())));
    contest.between(ours, [Peer::new(WHERE_IS, 1.15, peer)])
}

fn same_name(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let key = stage.echo();
    let ours = paired([(); 2].map(|()| finding(&stage.registry, key)));
    let where_is = stage.where_is();
    contest.between(ours, [Peer::new(WHERE_IS, 1.0, paired([where_is.clone(), where_is]))])
}

fn finding<'a>(registry: &'a ServiceRegistry, key: &'a ServiceKey<EchoMsg>) -> impl FnMut() -> bool + Send + 'a {
    || registry.lookup(key).is_ok()
}
