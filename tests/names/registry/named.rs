//! Namespaces beside production and those of tests.

use std::time::Duration;

use foundation::Namespace;
use foundation::names::{ProcessRegistry, RegistryError, Service};
use foundation::supervision::{Backoff, RestartIntensity};
use foundation_testkit::{Command, Probe, Puppet, SOON, assert_error};

use crate::setup::{PROBE, foreign, names_in};

#[tokio::test]
async fn namespaces_of_different_names_have_their_own_actors_and_the_same_name_is_the_same_one() {
    let registry = ProcessRegistry::start().await.unwrap();
    let staging = registry.namespace(Namespace::named("staging").unwrap()).await.unwrap();
    let tenant = registry.namespace(Namespace::named("tenant_7").unwrap()).await.unwrap();
    let ours = staging.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let theirs = tenant.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert_ne!(ours.get_id(), theirs.get_id());
    let again = registry.namespace("staging".parse().unwrap()).await.unwrap();
    assert_eq!(again.lookup(&PROBE).unwrap().get_id(), ours.get_id());
    let stats = registry.stats();
    assert_eq!((stats.named, stats.production, stats.tests, stats.test_namespaces), (2, 0, 0, 0));
    registry.shutdown().await;
}

#[tokio::test]
async fn a_named_namespace_is_cleaned_up_on_request_and_can_be_started_again() {
    let registry = ProcessRegistry::start().await.unwrap();
    let staging = Namespace::named("staging").unwrap();
    let names = registry.namespace(staging).await.unwrap();
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let production = registry.namespace(Namespace::Production).await.unwrap();
    let other = production.spawn(&PROBE, Probe::default(), ()).await.unwrap();

    let report = registry.cleanup_namespace(staging).await.unwrap();
    // The actor, and the supervisor of the application.
    assert_eq!((report.namespace, report.stopped.len()), (staging, 2));
    assert_error!(names.spawn(&PROBE, Probe::default(), ()).await, RegistryError::NotRunning { .. });
    assert_eq!(production.lookup(&PROBE).unwrap().get_id(), other.get_id());
    let fresh = registry.namespace(staging).await.unwrap();
    assert!(names_in(&fresh).is_empty(), "{} is gone", actor.get_id());
    assert_eq!(registry.namespaces(), [Namespace::Production, staging]);
    registry.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_stops_the_foreign_actors_of_a_named_namespace() {
    let registry = ProcessRegistry::start().await.unwrap();
    let staging = registry.namespace(Namespace::named("staging").unwrap()).await.unwrap();
    let outside = foreign(Probe::default()).await;
    staging.register(&PROBE, &outside).await.unwrap();
    registry.shutdown().await;
    outside.wait(Some(SOON)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_named_namespace_that_collapses_is_started_again_and_ends_no_other() {
    let puppet = Puppet::default();
    let made = puppet.clone();
    let service = Service::new(PROBE.name().clone(), move |names| {
        let made = made.clone();
        names.child_spec(&PROBE, move || (made.actor(), ()))
    });
    let registry = ProcessRegistry::builder()
        .service(service)
        .intensity(RestartIntensity::new(0, Duration::from_secs(1)))
        .backoff(Backoff::Constant(Duration::from_secs(10)))
        .start()
        .await
        .unwrap();
    let production = registry.namespace(Namespace::Production).await.unwrap();
    let staging = registry.namespace(Namespace::named("staging").unwrap()).await.unwrap();
    let stays = production.lookup(&PROBE).unwrap();
    // More often than production would survive.
    for _ in 0..6 {
        let failing = staging.lookup(&PROBE).unwrap();
        failing.cast(Command::Panic("ordered to panic")).unwrap();
        failing.wait(None).await.unwrap();
        staging.wait_until_free(&PROBE, SOON).await.unwrap();
        staging.wait_for_service(&PROBE, Duration::from_secs(60)).await.unwrap();
    }
    assert!(!registry.has_collapsed());
    assert_eq!(production.lookup(&PROBE).unwrap().get_id(), stays.get_id());
    registry.shutdown().await;
}
