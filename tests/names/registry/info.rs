//! A namespace's information on its services: uptime, restarts, counters.

use std::time::Duration;

use foundation::names::{RegistryError, ServiceRegistry};
use foundation::ractor::{ActorRef, ActorStatus};
use foundation_testkit::{Command, Probe, Puppet, SOON, assert_error, test_registry};

use crate::setup::{OTHER, PROBE, count, foreign};

fn only(names: &ServiceRegistry) -> foundation::names::ServiceInfo {
    let info = names.service_info();
    let [service] = &info.services[..] else { panic!("{info:?}") };
    service.clone()
}

#[tokio::test(start_paused = true)]
async fn uptime_is_the_time_since_this_incarnation_was_registered() {
    let (_registry, names) = test_registry().await;
    let actor = names.supervise(names.child_spec(&PROBE, || (Probe::default(), ()))).await.unwrap().unwrap();
    assert_eq!(only(&names).uptime, Duration::ZERO);
    tokio::time::advance(Duration::from_secs(90)).await;
    assert_eq!(only(&names).uptime, Duration::from_secs(90));

    actor.kill_and_wait(None).await.unwrap();
    names.wait_for_service(&PROBE, SOON).await.unwrap();
    assert_eq!(only(&names).uptime, Duration::ZERO);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(only(&names).uptime, Duration::from_millis(1));
}

#[tokio::test]
async fn restarts_are_counted_over_the_incarnations_of_a_name() {
    let (_registry, names) = test_registry().await;
    let puppet = Puppet::default();
    let on = puppet.clone();
    names.supervise(names.child_spec(&PROBE, move || (on.actor(), ()))).await.unwrap();
    for restarts in 0..3 {
        let service = only(&names);
        assert_eq!(service.restarts, restarts);
        assert_eq!(count(&names, "supervisor.restarts"), u64::from(restarts));
        names.lookup(&PROBE).unwrap().kill_and_wait(None).await.unwrap();
        names.wait_for_service(&PROBE, SOON).await.unwrap();
        assert_ne!(only(&names).actor, service.actor);
    }
    // The reporter is called after the name is visible; the supervisor's answer comes after that.
    names.application().unwrap().count_children().await.unwrap();
    assert_eq!(count(&names, "supervisor.restarts"), 3);
    assert_eq!(count(&names, "supervisor.exits"), 3);
}

#[tokio::test]
async fn the_first_start_that_succeeds_is_no_restart() {
    let (_registry, names) = test_registry().await;
    let taker = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let spec = names.child_spec(&PROBE, || (Probe::default(), ()));
    names.supervise(spec.clone()).await.unwrap_err();
    assert_eq!(count(&names, "supervisor.failed_starts"), 1);
    taker.stop_and_wait(None, None).await.unwrap();
    names.supervise(spec).await.unwrap();
    assert_eq!(only(&names).restarts, 0);
}

#[tokio::test]
async fn info_has_the_status_that_the_actor_has() {
    let (_registry, names) = test_registry().await;
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    names.via(&PROBE).call(Command::Id, SOON).await.unwrap();
    assert_eq!(only(&names).status, ActorStatus::Running);
    let busy = foundation_testkit::Gate::new();
    actor.cast(Command::Stay(busy.clone())).unwrap();
    actor.drain().unwrap();
    let service = only(&names);
    assert_eq!((service.status, service.healthy), (ActorStatus::Draining, false));
    busy.open();
}

#[tokio::test]
async fn counters_count_registrations_releases_lookups_and_misses() {
    let (_registry, names) = test_registry().await;
    let ours = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    names.register(&OTHER, &foreign(Probe::default()).await).await.unwrap();
    names.lookup(&PROBE).unwrap();
    names.unregister(&OTHER);
    names.lookup(&OTHER).unwrap_err();
    ours.stop_and_wait(None, None).await.unwrap();
    let counters = names.counters();
    let read = |name: &str| counters.counter(&format!("registry.{name}")).unwrap();
    assert_eq!((read("registrations"), read("releases"), read("lookups"), read("misses")), (2, 2, 2, 1));
}

fn timed(names: &ServiceRegistry) -> u64 {
    names.counters().histogram("registry.lookup_duration_ns").unwrap().count
}

#[tokio::test]
async fn each_thread_times_one_in_256_of_its_lookups() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let look_up = |times: usize| (0..times).for_each(|_| drop(names.lookup(&PROBE).unwrap()));
    look_up(255);
    assert_eq!(timed(&names), 0);
    look_up(1);
    assert_eq!(timed(&names), 1);
    look_up(256 * 3);
    assert_eq!((timed(&names), count(&names, "registry.lookups")), (4, 1_024));
    std::thread::scope(|scope| scope.spawn(|| look_up(255)).join().unwrap());
    assert_eq!(timed(&names), 4);
}

/// The closure of a borrow may take as long as it likes.
#[tokio::test]
async fn a_lookup_is_timed_until_the_actor_is_found_and_no_longer() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let seen_by_borrowers = (0..512).map(|_| names.with(&PROBE, |_| timed(&names)).unwrap());
    assert_eq!(seen_by_borrowers.max(), Some(2));
    (0..512).for_each(|_| assert_error!(names.lookup(&OTHER), RegistryError::NotFound { .. }));
    assert_eq!(timed(&names), 2, "no actor found, nothing timed");
}

/// Queries about names are not counted as lookups of services.
#[tokio::test]
async fn queries_about_names_are_not_counted_as_lookups() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    names.is_registered(&PROBE);
    names.list_services();
    names.service_info();
    names.unregister(&OTHER);
    assert_eq!((count(&names, "registry.lookups"), count(&names, "registry.misses")), (0, 0));
}

#[tokio::test]
async fn the_supervisor_of_the_application_is_there_while_the_namespace_is() {
    let (_registry, names) = test_registry().await;
    let actor = names.supervise(names.child_spec(&PROBE, || (Probe::default(), ()))).await.unwrap().unwrap();
    let application = names.application().unwrap();
    assert!(application.path().ends_with("/application"), "{}", application.path());
    let running = application.child("probe").await.unwrap().unwrap();
    assert_eq!(ActorRef::<Command>::from(running).get_id(), actor.get_id());
    names.cleanup().await.unwrap();
    let gone = names.application().unwrap_err();
    assert!(matches!(gone, RegistryError::NotRunning { .. }), "{gone}");
}
