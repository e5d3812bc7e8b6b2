//! Elixir's own registry tests on matching and selecting: CONFORMANCE, section 2.2. Elixir's match specifications
//! are functions here; a bad specification, which raises there, is a compile error.

use foundation::names::{Metadata, Origin, Registration, RegistryError, ServiceEntry, ServiceRegistry};
use foundation::ractor::{ActorId, ActorStatus};
use foundation_testkit::{Behavior, Command, Gate, Probe, test_registry};

use crate::setup::{foreign, key};
use crate::watches::mirror::holders;

/// `hello` and `world` have a tuple, `again` a number, `mute` nothing.
async fn described() -> (foundation::names::ProcessRegistry, ServiceRegistry) {
    let (registry, names) = test_registry().await;
    let values =
        [("hello", Metadata::new(&("atom", 1))), ("world", Metadata::new(&("atom", 2))), ("again", Metadata::new(&7))];
    for (name, metadata) in values {
        let described = names.with_metadata(metadata.unwrap());
        described.spawn(&key(name), Probe::default(), ()).await.unwrap();
    }
    names.spawn(&key("mute"), Probe::default(), ()).await.unwrap();
    (registry, names)
}

fn found(services: &[Registration]) -> Vec<&str> {
    services.iter().map(|service| service.name.as_str()).collect()
}

/// The second of a pair that begins with "atom".
fn of_atom(service: &ServiceEntry<'_>) -> Option<u64> {
    let value = service.metadata()?.value();
    (value.get(0)? == "atom").then(|| value.get(1)?.as_u64()).flatten()
}

#[tokio::test]
async fn reg_2_2_match_supports_patterns() {
    let (_registry, names) = described().await;
    assert_eq!(found(&names.select(|service| of_atom(service).is_some())), ["hello", "world"]);
    assert_eq!(found(&names.select(|service| of_atom(service) == Some(2))), ["world"]);
    assert!(names.select(|service| of_atom(service) == Some(3)).is_empty());
    let found = names.find(|service| service.name().as_str() == "again").unwrap();
    assert_eq!(found.metadata, Some(Metadata::new(&7).unwrap()));
    assert_eq!(names.find(|_| false), None);
}

#[tokio::test]
async fn reg_2_2_match_supports_guards() {
    let (_registry, names) = described().await;
    let greater = |than: u64| move |service: &ServiceEntry<'_>| of_atom(service).is_some_and(|number| number > than);
    assert_eq!(found(&names.select(greater(0))), ["hello", "world"]);
    assert_eq!(found(&names.select(greater(1))), ["world"]);
    assert!(names.select(greater(2)).is_empty());
}

#[tokio::test]
async fn reg_2_2_count_match_supports_patterns() {
    let (_registry, names) = described().await;
    assert_eq!(names.count_matching(|_| true), 4);
    assert_eq!(names.count_matching(|service| of_atom(service) == Some(1)), 1);
    assert_eq!(names.count_matching(|service| service.metadata().is_none()), 1);
}

#[tokio::test]
async fn reg_2_2_count_match_supports_guards() {
    let (_registry, names) = described().await;
    assert_eq!(names.count_matching(|service| of_atom(service).is_some_and(|number| number < 2)), 1);
    assert_eq!(names.count_matching(|service| of_atom(service).is_some_and(|number| number > 2)), 0);
}

#[tokio::test]
async fn reg_2_2_unregister_match_supports_patterns() {
    let (registry, names) = described().await;
    let world = names.lookup(&key::<Command>("world")).unwrap();
    let gone = names.unregister_matching(|service| of_atom(service) == Some(2));
    assert_eq!(gone, [key::<Command>("world").name().clone()]);
    assert!(!names.is_registered(&key::<Command>("world")));
    assert!(world.get_status() < ActorStatus::Draining, "the actor lives on without it");
    assert_eq!(registry.stats().total, 3);
    assert!(names.unregister_matching(|service| of_atom(service) == Some(2)).is_empty());
}

#[tokio::test]
async fn reg_2_2_unregister_match_supports_guards() {
    let (_registry, names) = described().await;
    let outside = foreign(Probe::default()).await;
    names.with_metadata(Metadata::new(&("atom", 3)).unwrap()).register(&key("outside"), &outside).await.unwrap();
    let gone = names.unregister_matching(|service| of_atom(service).is_some_and(|number| number > 1));
    assert_eq!(gone.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["outside", "world"]);
    assert_eq!(found(&names.select(|_| true)), ["again", "hello", "mute"]);
}

/// CONFORMANCE 2.2: compares by strict equality (1 vs 1.0), here of the metadata of a name.
#[tokio::test]
async fn reg_2_2_values_are_compared_strictly() {
    let (_registry, names) = test_registry().await;
    let actor = foreign(Probe::default()).await;
    names.with_metadata(Metadata::new(&1).unwrap()).register(&key("whole"), &actor).await.unwrap();
    names.with_metadata(Metadata::new(&1.0).unwrap()).register(&key("real"), &actor).await.unwrap();
    let is = |value: Metadata| move |service: &ServiceEntry<'_>| service.metadata() == Some(&value);
    assert_eq!(found(&names.select(is(Metadata::new(&1).unwrap()))), ["whole"]);
    assert_eq!(found(&names.select(is(Metadata::new(&1.0).unwrap()))), ["real"]);
}

#[tokio::test]
async fn reg_2_2_select_of_an_empty_registry_is_empty() {
    let (_registry, names) = test_registry().await;
    assert!(names.select(|_| true).is_empty());
}

#[tokio::test]
async fn reg_2_2_select_gives_all() {
    let (_registry, names) = test_registry().await;
    let hello = names.spawn(&key("hello"), Probe::default(), ()).await.unwrap();
    let world = names.spawn(&key("world"), Probe::default(), ()).await.unwrap();
    let all = [("hello".to_owned(), hello.get_id()), ("world".to_owned(), world.get_id())];
    assert_eq!(holders(&names.select(|_| true)), all);
}

/// Adapted from full match specifications, guards and several specifications: a predicate sees every field, and several
/// are one with an `or` in it.
#[tokio::test]
async fn reg_2_2_select_sees_name_actor_and_value() {
    let (_registry, names) = described().await;
    let hello: ActorId = names.lookup(&key::<Command>("hello")).unwrap().get_id();
    assert_eq!(found(&names.select(|service| service.actor().get_id() == hello)), ["hello"]);
    let several = |service: &ServiceEntry<'_>| service.name().as_str() == "again" || of_atom(service) == Some(1);
    assert_eq!(found(&names.select(several)), ["again", "hello"]);
    assert_eq!(names.count_matching(several), 2);
    let mine = |service: &ServiceEntry<'_>| service.origin() == Origin::Managed && service.restarts() == 0;
    assert_eq!(names.count_matching(mine), 4);
    assert_eq!(names.count_matching(|service| service.message() == std::any::type_name::<Command>()), 4);
}

#[tokio::test]
async fn reg_2_2_select_shows_no_leaving_actor() {
    let (_registry, names) = test_registry().await;
    let gate = Gate::new();
    let leaving = names.spawn(&key("leaving"), Probe::default().stop(Behavior::Wait(gate.clone())), ()).await.unwrap();
    leaving.stop(None);
    gate.arrival().await;
    assert_eq!(names.count_matching(|_| true), 0);
    gate.open();
}

/// No lock is held while a predicate runs.
#[tokio::test]
async fn a_predicate_may_use_the_registry() {
    let (_registry, names) = described().await;
    let seen = names.select(|service| {
        names.unregister(&key::<Command>(service.name().as_str()));
        true
    });
    assert_eq!(seen.len(), 4);
    assert_eq!(names.count_matching(|_| true), 0);
}

#[tokio::test]
async fn selected_found_and_unregistered_entries_are_ordered_by_name() {
    let (_registry, names) = test_registry().await;
    for name in ["c", "a", "b"] {
        names.spawn(&key::<Command>(name), Probe::default(), ()).await.unwrap();
    }
    let selected: Vec<_> = names.select(|_| true).into_iter().map(|service| service.name.to_string()).collect();
    assert_eq!(selected, ["a", "b", "c"]);
    assert_eq!(names.find(|service| service.name().as_str() != "a").unwrap().name.as_str(), "b");
    assert!(names.find(|_| false).is_none());
    let actor = names.lookup(&key::<Command>("b")).unwrap();
    let taken: Vec<_> = names.unregister_matching(|service| service.name().as_str() < "c");
    assert_eq!(taken.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(names.list_services().len(), 1);
    actor.cast(Command::Note("it lives on")).unwrap();
}

#[tokio::test]
async fn an_actor_that_is_found_by_its_name_alone_becomes_typed_if_the_type_is_its_own() {
    let (registry, names) = test_registry().await;
    let clerk = names.spawn(&key("clerk"), Probe::default(), ()).await.unwrap();
    let found = names.lookup_any(&"clerk".parse().unwrap()).unwrap();
    assert_eq!((found.name().as_str(), found.actor_id(), found.origin()), ("clerk", clerk.get_id(), Origin::Managed));
    assert!(found.message().ends_with("::Command"), "{found:?}");
    assert_eq!(found.registration(), names.find(|_| true).unwrap());
    assert_eq!(found.actor_ref::<Command>().unwrap().get_id(), clerk.get_id());
    assert!(names.via(&found.key::<Command>().unwrap()).is_alive());
    let wrong = [found.actor_ref::<u64>().map(drop), found.key::<u64>().map(drop)];
    for wrong in wrong.map(Result::unwrap_err) {
        let RegistryError::WrongType { wanted, found: message, .. } = &wrong else { panic!("{wrong}") };
        assert_eq!((*wanted, *message), ("u64", found.message()));
    }
    let all = registry.get_all_services(names.namespace());
    assert_eq!(all.values().map(|actor| actor.name().as_str()).collect::<Vec<_>>(), ["clerk"]);

    found.cell().kill_and_wait(None).await.unwrap();
    let missed = names.lookup_any(&"clerk".parse().unwrap()).unwrap_err();
    assert!(matches!(missed, RegistryError::NotFound { .. }), "{missed}");
    names.spawn(&key("clerks"), Probe::default(), ()).await.unwrap();
    let missed = names.lookup_any(&"clerk".parse().unwrap()).unwrap_err().to_string();
    assert!(missed.ends_with("; did you mean clerks?"), "{missed}");
}
