//! Several registries in one process do not know of each other.

use foundation::Namespace;
use foundation::names::{ProcessRegistry, RegistryError};
use foundation_testkit::{Command, Probe, SOON, assert_error};

use crate::setup::{PROBE, foreign, key};

#[tokio::test]
async fn two_registries_have_two_productions() {
    let (ours, theirs) = (ProcessRegistry::start().await.unwrap(), ProcessRegistry::start().await.unwrap());
    let our_names = ours.namespace(Namespace::Production).await.unwrap();
    let their_names = theirs.namespace(Namespace::Production).await.unwrap();
    our_names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert_error!(their_names.lookup(&PROBE), RegistryError::NotFound { .. });
    their_names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    our_names.via(&PROBE).cast(Command::Note("ours")).unwrap();
    assert!(their_names.via(&PROBE).call(Command::Notes, SOON).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_end_of_one_registry_does_not_affect_another() {
    let (ours, theirs) = (ProcessRegistry::start().await.unwrap(), ProcessRegistry::start().await.unwrap());
    let namespace = Namespace::test();
    ours.namespace(namespace).await.unwrap().spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let their_names = theirs.namespace(namespace).await.unwrap();
    their_names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    ours.cleanup_namespace(namespace).await.unwrap();
    ours.shutdown().await;
    assert!(their_names.via(&PROBE).call(Command::Notes, SOON).await.is_ok());
    assert_eq!(theirs.stats().total, 1);
}

#[tokio::test]
async fn an_actor_may_be_registered_in_two_registries() {
    let (ours, theirs) = (ProcessRegistry::start().await.unwrap(), ProcessRegistry::start().await.unwrap());
    let actor = foreign(Probe::default()).await;
    for registry in [&ours, &theirs] {
        registry.namespace(Namespace::Production).await.unwrap().register(&PROBE, &actor).await.unwrap();
    }
    assert!(ours.namespace(Namespace::Production).await.unwrap().unregister(&PROBE));
    assert!(theirs.namespace(Namespace::Production).await.unwrap().is_registered(&PROBE));
    actor.stop_and_wait(None, None).await.unwrap();
    // The registry has read the end of its actor when it has opened another namespace.
    theirs.namespace(Namespace::test()).await.unwrap();
    assert_eq!(theirs.stats().total, 0);
}

#[tokio::test]
async fn a_thousand_namespaces_have_the_same_names_and_are_independent() {
    let registry = ProcessRegistry::start().await.unwrap();
    let spaces = futures::future::join_all((0..1_000).map(|_| registry.namespace(Namespace::test()))).await;
    for names in &spaces {
        let names = names.as_ref().unwrap();
        names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    }
    assert_eq!((registry.stats().tests, registry.stats().test_namespaces), (1_000, 1_000));
    for names in &spaces {
        names.as_ref().unwrap().cleanup().await.unwrap();
    }
    assert_eq!(registry.stats(), foundation::names::RegistryStats::default());
}

#[tokio::test]
async fn namespaces_are_listed_with_production_first() {
    let registry = ProcessRegistry::start().await.unwrap();
    for namespace in [Namespace::test(), Namespace::Production, Namespace::test()] {
        registry.namespace(namespace).await.unwrap();
    }
    let namespaces = registry.namespaces();
    assert_eq!((namespaces.len(), namespaces[0]), (3, Namespace::Production));
}

/// A runtime that ends ends its tree as well; a registry of another runtime in the same process lives on.
#[test]
fn a_runtime_that_is_dropped_ends_its_tree() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (ours, theirs) = (runtime(), runtime());
    let puppet = foundation_testkit::Puppet::default();
    let our_names = ours.block_on(async {
        let names = ProcessRegistry::start().await.unwrap().namespace(Namespace::test()).await.unwrap();
        names.spawn(&PROBE, puppet.actor(), ()).await.unwrap();
        names.supervise(names.child_spec(&key("child"), || (Probe::default(), ()))).await.unwrap();
        names
    });
    let their_names = theirs.block_on(async {
        let names = ProcessRegistry::start().await.unwrap().namespace(our_names.namespace()).await.unwrap();
        names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
        names
    });
    drop(ours);
    assert!(puppet.alive() == 0);
    assert_error!(our_names.lookup(&PROBE), RegistryError::NotFound { .. });
    assert!(our_names.list_services().is_empty());
    theirs.block_on(async {
        assert!(their_names.via(&PROBE).call(Command::Notes, SOON).await.is_ok());
        let refused = our_names.spawn(&PROBE, Probe::default(), ()).await.unwrap_err();
        assert!(matches!(refused, RegistryError::NotRunning { .. }), "{refused}");
    });
}
