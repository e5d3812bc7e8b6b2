//! The metadata of a registration.

use std::collections::BTreeMap;

use foundation::names::{Metadata, MetadataError, RegistryError};
use foundation_testkit::{Behavior, Command, Gate, Probe, SOON, assert_error, test_registry};
use serde::{Deserialize, Serialize};

use crate::setup::{OTHER, PROBE, foreign, key};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Endpoint {
    zone: String,
    port: u16,
}

fn endpoint(port: u16) -> Metadata {
    Metadata::new(&Endpoint { zone: "eu".to_owned(), port }).unwrap()
}

fn port(metadata: Option<Metadata>) -> Option<u16> {
    Some(metadata?.read::<Endpoint>().unwrap().port)
}

#[tokio::test]
async fn metadata_come_with_each_way_to_register() {
    let (_registry, names) = test_registry().await;
    names.with_metadata(endpoint(1)).spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let outside = foreign(Probe::default()).await;
    names.with_metadata(endpoint(2)).register(&OTHER, &outside).await.unwrap();
    let third = key::<Command>("third");
    let spec = names.with_metadata(endpoint(3)).child_spec(&third, || (Probe::default(), ()));
    names.supervise(spec).await.unwrap();
    for (n, key) in [PROBE.clone(), OTHER.clone(), third].iter().enumerate() {
        assert_eq!(port(names.metadata(key).unwrap()), Some(u16::try_from(n + 1).unwrap()), "{key}");
    }
    let info = names.service_info();
    assert!(info.services.iter().all(|service| service.metadata.is_some()), "and every reader sees them: {info:?}");
}

#[tokio::test]
async fn a_registration_without_metadata_has_none() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert_eq!(names.metadata(&PROBE).unwrap(), None);
    assert!(matches!(names.metadata(&OTHER).unwrap_err(), RegistryError::NotFound { .. }));
}

/// CONFORMANCE 2.2: update_value only by the owner.
#[tokio::test]
async fn reg_2_2_metadata_are_updated_by_their_owner_only() {
    let (_registry, names) = test_registry().await;
    let owner = names.with_metadata(endpoint(1)).spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let other = foreign(Probe::default()).await;
    let refused = names.update_metadata(&PROBE, &other, |_| Some(endpoint(9))).unwrap_err();
    let text = format!(
        "the metadata of service probe in namespace {} belongs to actor {}; actor {} may not change it",
        names.namespace(),
        owner.get_id(),
        other.get_id()
    );
    assert_eq!(refused.to_string(), text);
    assert!(matches!(refused, RegistryError::NotOwner { .. }));
    assert_eq!(port(names.metadata(&PROBE).unwrap()), Some(1), "nothing has changed");

    let next = |before: Option<&Metadata>| Some(endpoint(port(before.cloned()).unwrap() + 1));
    assert_eq!(port(names.update_metadata(&PROBE, &owner, next).unwrap()), Some(2));
    assert_eq!(port(names.metadata(&PROBE).unwrap()), Some(2));
    assert_eq!(port(names.update_metadata(&PROBE, &owner, |_| None).unwrap()), Some(2), "left as it is");
    let unknown = names.update_metadata(&OTHER, &owner, |_| Some(endpoint(3))).unwrap_err();
    assert!(matches!(unknown, RegistryError::NotFound { .. }), "{unknown}");
}

#[tokio::test]
async fn a_leaving_actor_cannot_update_its_metadata() {
    let (_registry, names) = test_registry().await;
    let gate = Gate::new();
    let owner = names.spawn(&PROBE, Probe::default().stop(Behavior::Wait(gate.clone())), ()).await.unwrap();
    owner.stop(None);
    gate.arrival().await;
    let refused = names.update_metadata(&PROBE, &owner, |_| Some(endpoint(1))).unwrap_err();
    assert!(matches!(refused, RegistryError::NotFound { .. }), "{refused}");
    gate.open();
}

/// As with its arguments: it begins from a known state.
#[tokio::test]
async fn a_child_that_is_started_again_begins_with_the_metadata_of_its_spec() {
    let (_registry, names) = test_registry().await;
    let spec = names.with_metadata(endpoint(1)).child_spec(&PROBE, || (Probe::default(), ()));
    let first = names.supervise(spec).await.unwrap().unwrap();
    names.update_metadata(&PROBE, &first, |_| Some(endpoint(2))).unwrap();
    first.kill_and_wait(None).await.unwrap();
    let second = names.wait_for_service(&PROBE, SOON).await.unwrap();
    assert_eq!(port(names.metadata(&PROBE).unwrap()), Some(1));
    assert_error!(
        names.update_metadata(&PROBE, &first, |_| Some(endpoint(3))),
        RegistryError::NotOwner { .. },
        "the first owns nothing any more"
    );
    names.update_metadata(&PROBE, &second, |_| Some(endpoint(4))).unwrap();
}

#[test]
fn a_value_that_cannot_be_written_is_refused_with_its_type_and_the_cause() {
    let keys: BTreeMap<(u8, u8), u8> = BTreeMap::from([((1, 2), 3)]);
    let refused = Metadata::new(&keys).unwrap_err();
    assert!(matches!(refused, MetadataError::Unwritable { .. }));
    let message = refused.to_string();
    assert!(
        message.contains("BTreeMap<(u8, u8), u8> cannot be metadata") && message.contains("key must be a string"),
        "{message}"
    );
}

#[test]
fn metadata_of_another_type_are_refused_with_the_found_value() {
    let refused = Metadata::new(&[1, 2]).unwrap().read::<Endpoint>().unwrap_err();
    assert!(matches!(refused, MetadataError::Unreadable { .. }));
    let message = refused.to_string();
    assert!(message.starts_with("the metadata [1,2] is not a ") && message.contains("Endpoint"), "{message}");
}

/// Concurrent updates are made one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_update_is_lost() {
    let (_registry, names) = test_registry().await;
    let owner = names.with_metadata(endpoint(0)).spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let count = || {
        let (names, owner) = (names.clone(), owner.clone());
        tokio::spawn(async move {
            for _ in 0..500 {
                let next = |before: Option<&Metadata>| Some(endpoint(port(before.cloned()).unwrap() + 1));
                names.update_metadata(&PROBE, &owner, next).unwrap();
            }
        })
    };
    let (one, two) = tokio::join!(count(), count());
    one.and(two).unwrap();
    assert_eq!(port(names.metadata(&PROBE).unwrap()), Some(1_000));
}
