//! Names that become one in Prometheus.

use std::collections::{HashMap, HashSet};

use foundation_kernel::instruments::{Counter, Gauge, Histogram};
use foundation_kernel::names::Namespace;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn register(names: &Names, name: &str, kind: usize) -> Result<(), TelemetryError> {
    match kind {
        0 => names.table::<Counter>(name).map(drop),
        1 => names.table::<Gauge>(name).map(drop),
        _ => names.table::<Histogram>(name).map(drop),
    }
}

fn error_text<T>(result: Result<T, TelemetryError>) -> String {
    result.err().expect("an error").to_string()
}

#[test]
fn the_second_of_two_names_that_become_one_is_refused_and_names_the_first() {
    let names = Names::new(Namespace::Production);
    names.table::<Counter>("cache.hits").unwrap();
    assert_eq!(
        error_text(names.table::<Counter>("cache-hits")),
        "cache-hits cannot be made: in Prometheus' text it would be cache_hits, as cache.hits is; \
         give one of them another name"
    );
    assert!(names.table::<Counter>("cache.hits").is_ok());
    assert!(names.table::<Counter>("cache.misses").is_ok());
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
            let names = Names::new(Namespace::Production);
            register(&names, first.0, first.1).unwrap();
            assert!(
                matches!(register(&names, second.0, second.1), Err(TelemetryError::NameTaken { .. })),
                "{second:?}"
            );
        }
    }
}

#[test]
fn an_instrument_cannot_hide_what_the_foundation_measures() {
    let names = Names::new(Namespace::Production);
    assert_eq!(
        error_text(names.table::<Counter>("registry.lookups")),
        "registry.lookups is measured by the foundation itself; give the instrument another name"
    );
    assert!(names.table::<Gauge>("tokio.workers").is_ok());
    assert!(matches!(names.table::<Counter>("tokio.alive_tasks"), Err(TelemetryError::WrongKind { .. })));
    for built_in in BuiltIn::all() {
        for kind in 0..3 {
            let alike = built_in.name.replace('.', "-");
            assert!(matches!(register(&names, &alike, kind), Err(TelemetryError::NameTaken { .. })), "{alike}");
        }
    }
}

#[test]
fn the_table_is_in_order_and_each_name_is_exposed_as_it_says() {
    assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0));
    for BuiltIn { name, exposed, kind, .. } in BuiltIn::all() {
        assert_eq!(ExposedName::new(name, kind).claims().next().as_deref(), Some(exposed));
        assert_eq!(BuiltIn::of(name).map(|it| it.name), Some(name));
    }
}

#[test]
fn no_two_are_exposed_under_one_name() {
    let all: Vec<_> =
        BuiltIn::all().flat_map(|it| ExposedName::new(it.name, it.kind).claims().collect::<Vec<_>>()).collect();
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
}

proptest! {
    /// Any names in any order: those that are taken have names of their own in Prometheus, and what they are called
    /// there depends on nothing but themselves.
    #[test]
    fn no_two_instruments_of_a_namespace_share_a_name_in_prometheus(
        wanted in vec(("a([._:/-](b|ms|ns|seconds|total|count|sum|bucket)){0,3}", 0..3usize), 1..20),
    ) {
        let names = Names::new(Namespace::Production);
        let mut owners = HashMap::new();
        for (name, kind) in wanted {
            let exposed = ExposedName::new(&name, ["counter", "gauge", "histogram"][kind]);
            match register(&names, &name, kind) {
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
