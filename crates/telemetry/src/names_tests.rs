//! Names that become one in Prometheus.

use std::collections::HashMap;

use foundation_kernel::{Counter, Gauge, Histogram, Namespace};
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::built_in::BuiltIn;
use super::super::error::TelemetryError;
use super::super::exposed_name::ExposedName;
use super::super::hub::Hub;

fn register(hub: &Hub, name: &str, kind: usize) -> Result<(), TelemetryError> {
    match kind {
        0 => hub.instrument::<Counter>(name).map(drop),
        1 => hub.instrument::<Gauge>(name).map(drop),
        _ => hub.instrument::<Histogram>(name).map(drop),
    }
}

fn refusal<T>(result: Result<T, TelemetryError>) -> String {
    result.err().expect("a refusal").to_string()
}

#[test]
fn the_second_of_two_names_that_become_one_is_refused_and_names_the_first() {
    let hub = Hub::new(Namespace::Production);
    hub.instrument::<Counter>("cache.hits").unwrap();
    assert_eq!(
        refusal(hub.instrument::<Counter>("cache-hits")),
        "cache-hits cannot be made: in Prometheus' text it would be cache_hits, as cache.hits is; \
         give one of them another name"
    );
    assert!(hub.instrument::<Counter>("cache.hits").is_ok());
    assert!(hub.instrument::<Counter>("cache.misses").is_ok());
}

#[test]
fn names_become_one_by_their_endings_too() {
    for (first, second) in [
        (("jobs", 0), ("jobs_total", 0)),
        (("jobs", 0), ("jobs.total", 1)),
        (("took", 2), ("took.sum", 1)),
        (("took", 2), ("took_count", 1)),
        (("took", 2), ("took/bucket", 2)),
        (("took_ms", 2), ("took_seconds", 2)),
        (("took_ns", 1), ("took_ms", 1)),
        (("a:b", 1), ("a.b", 1)),
    ] {
        for (first, second) in [(first, second), (second, first)] {
            let hub = Hub::new(Namespace::Production);
            register(&hub, first.0, first.1).unwrap();
            assert!(matches!(register(&hub, second.0, second.1), Err(TelemetryError::NameTaken { .. })), "{second:?}");
        }
    }
}

#[test]
fn an_instrument_cannot_hide_what_the_foundation_measures() {
    let hub = Hub::new(Namespace::Production);
    assert_eq!(
        refusal(hub.instrument::<Counter>("registry.lookups")),
        "registry.lookups is measured by the foundation itself; give the instrument another name"
    );
    assert!(hub.instrument::<Gauge>("tokio.workers").is_ok());
    assert!(matches!(hub.instrument::<Counter>("tokio.alive_tasks"), Err(TelemetryError::WrongKind { .. })));
    for built_in in BuiltIn::ALL {
        for kind in 0..3 {
            let alike = built_in.name.replace('.', "-");
            assert!(matches!(register(&hub, &alike, kind), Err(TelemetryError::NameTaken { .. })), "{alike}");
        }
    }
}

#[test]
fn measurements_under_a_refused_name_are_counted() {
    let hub = Hub::new(Namespace::Production);
    hub.count("cache.hits");
    (0..3).for_each(|_| hub.count("cache-hits"));
    assert_eq!((hub.self_metrics.unrecorded.value(), hub.instrument::<Counter>("cache.hits").unwrap().value()), (3, 1));
}

proptest! {
    /// Any names in any order: those that are taken have names of their own in Prometheus, and what they are called
    /// there depends on nothing but themselves.
    #[test]
    fn no_two_instruments_of_a_namespace_share_a_name_in_prometheus(
        wanted in vec(("a([._:/-](b|ms|ns|seconds|total|count|sum|bucket)){0,3}", 0..3usize), 1..20),
    ) {
        let hub = Hub::new(Namespace::Production);
        let mut owners = HashMap::new();
        for (name, kind) in wanted {
            let exposed = ExposedName::new(&name, ["counter", "gauge", "histogram"][kind]);
            match register(&hub, &name, kind) {
                Ok(()) => for claim in exposed.claims() {
                    let owner = owners.entry(claim).or_insert((name.clone(), kind));
                    prop_assert_eq!((&owner.0, owner.1), (&name, kind));
                },
                Err(TelemetryError::NameTaken { owner, exposed: claim, .. }) => {
                    prop_assert_eq!(&owners[&claim].0, &owner);
                    prop_assert!(exposed.claims().any(|it| it == claim));
                }
                Err(TelemetryError::WrongKind { .. }) => prop_assert!(owners.values().any(|it| it.0 == name)),
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}
