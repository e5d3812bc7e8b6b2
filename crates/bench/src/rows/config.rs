//! Reading a setting.

use arc_swap::ArcSwap;
use foundation::{ConfigSources, Foundation};
use serde_json::json;

use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::row::Row;
use crate::sample::repeated;
use crate::stage::{runtime, started};

/// A snapshot that can be replaced at any time, and nothing else: no path, no type.
const PEER: &str = "arc-swap, a field of a struct";

struct Settings {
    port: u16,
}

pub(super) fn rows() -> Vec<Row> {
    vec![Row::new("config_get", 1, get).at_most(30.0)]
}

fn get(contest: &mut Contest<'_>) -> Vec<Measured> {
    let runtime = runtime();
    let sources = started(ConfigSources::new().defaults(json!({ "http": { "port": 8080 } })));
    let foundation = started(runtime.block_on(Foundation::builder().config(sources).start()));
    let bare = ArcSwap::from_pointee(Settings { port: 8080 });
    let config = foundation.config().clone();
    let ours = repeated(|| started(config.get::<u16>("http.port")));
    contest.between(ours, [Peer::new(PEER, 2.0, repeated(|| bare.load().port))])
}
