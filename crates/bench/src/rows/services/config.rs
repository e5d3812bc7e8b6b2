//! Reading a setting: by its path, and as a field of a declared section.

use arc_swap::{ArcSwap, Cache};
use foundation::config::{ConfigSection, ConfigSources};
use foundation::{ConfigServer, Foundation};
use garde::Validate;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::sample::repeated;
use crate::stage::{runtime, started};

/// A snapshot that can be replaced at any time, and nothing else: no path, no type.
const PEER: &str = "arc-swap, a field of a struct";

#[derive(Deserialize, Validate)]
struct Http {
    #[garde(range(min = 1))]
    port: u16,
}

impl ConfigSection for Http {
    const PATH: &'static str = "http";

    fn defaults() -> Value {
        json!({ "port": 8080 })
    }
}

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("config_get", 1, get).at_most(30.0), BenchRow::new("config_section", 1, section).at_most(5.0)]
}

/// The configuration, with the runtime and the foundation that keep it alive.
fn configured() -> (tokio::runtime::Runtime, Foundation, ConfigServer) {
    let runtime = runtime();
    let sources = started(ConfigSources::new().section::<Http>());
    let foundation = started(runtime.block_on(Foundation::builder().config(sources).start()));
    let config = foundation.config().clone();
    (runtime, foundation, config)
}

fn get(contest: &mut Contest<'_>) -> Vec<Measured> {
    let (_runtime, _foundation, config) = configured();
    let bare = ArcSwap::from_pointee(Http { port: 8080 });
    let ours = repeated(|| started(config.get::<u16>("http.port")));
    contest.between(ours, [Peer::new(PEER, 2.0, repeated(|| bare.load().port))])
}

fn section(contest: &mut Contest<'_>) -> Vec<Measured> {
    let (_runtime, _foundation, config) = configured();
    let mut http = started(config.section_handle::<Http>());
    let (bare, cached) = (ArcSwap::from_pointee(Http { port: 8080 }), ArcSwap::from_pointee(Http { port: 8080 }));
    let mut cache = Cache::new(&cached);
    let peers = [
        Peer::new(PEER, 2.0, repeated(|| bare.load().port)),
        Peer::shown("the same through its cache", repeated(move || cache.load().port)),
    ];
    contest.between(repeated(move || http.latest().port), peers)
}
