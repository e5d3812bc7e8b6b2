//! Elixir Foundation's service-registry tests: CONFORMANCE, section 6.

use std::pin::pin;
use std::time::Duration;

use foundation::names::{HealthCheck, Origin, ProcessRegistry, RegistryError};
use foundation::ractor::Actor;
use foundation::supervision::{Health, Report, Reporter};
use foundation::{Namespace, Via};
use foundation_testkit::{Behavior, Command, Gate, Probe, Puppet, SOON, TraceLog, test_registry};
use futures::FutureExt;
use tokio::time::{Instant, timeout};
use tracing::Level;

use crate::setup::{Lamp, LampMsg, OTHER, PROBE, count, foreign, key, names_in};

// ---- register ----

#[tokio::test]
async fn fnd_6_register_is_logged_with_name_and_actor() {
    let (log, _listening) = TraceLog::of_thread(Level::DEBUG);
    let (_registry, names) = test_registry().await;
    let actor = foreign(Probe::default()).await;
    names.register(&PROBE, &actor).await.unwrap();
    let lines = log.lines(&["registered", "service=probe", &names.namespace().to_string()]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(&format!("actor={}", actor.get_id())), "{lines:?}");
}

#[tokio::test]
async fn fnd_6_register_of_a_taken_name_is_refused() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let refused = names.register(&PROBE, &foreign(Probe::default()).await).await.unwrap_err();
    assert!(matches!(refused, RegistryError::AlreadyRegistered { .. }), "{refused}");
}

#[tokio::test]
async fn fnd_6_register_is_counted() {
    let (_registry, names) = test_registry().await;
    names.register(&PROBE, &foreign(Probe::default()).await).await.unwrap();
    names.spawn(&OTHER, Probe::default(), ()).await.unwrap();
    assert_eq!(count(&names, "registry.registrations"), 2);
    assert_eq!(count(&names, "registry.releases"), 0);
    names.unregister(&PROBE);
    assert_eq!(count(&names, "registry.releases"), 1);
}

#[tokio::test]
async fn fnd_6_register_that_fails_is_not_counted_as_one() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap_err();
    names.spawn(&OTHER, Probe::default().start(Behavior::Fail("no")), ()).await.unwrap_err();
    assert_eq!(count(&names, "registry.registrations"), 1);
    assert_eq!(count(&names, "registry.releases"), 0);
}

/// Adapted: bad arguments do not compile, except for names from run time and references of the wrong type.
#[tokio::test]
async fn fnd_6_register_refuses_a_reference_of_the_wrong_type() {
    let (_registry, names) = test_registry().await;
    let (lamp, _task) = Actor::spawn(None, Lamp, ()).await.unwrap();
    let mistaken = foundation::ractor::ActorRef::<Command>::from(lamp.get_cell());
    names.register(&PROBE, &mistaken).await.unwrap_err();
    assert!(!names.is_registered(&PROBE));
}

// ---- lookup ----

#[tokio::test]
async fn fnd_6_lookup_returns_a_typed_reference() {
    let (_registry, names) = test_registry().await;
    let spawned = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let found = names.lookup(&PROBE).unwrap();
    assert_eq!(found.get_id(), spawned.get_id());
    found.cast(Command::Note("hello")).unwrap();
}

#[tokio::test]
async fn fnd_6_lookup_that_fails_names_the_service_and_the_namespace() {
    let (_registry, names) = test_registry().await;
    let missed = names.lookup(&PROBE).unwrap_err();
    let RegistryError::NotFound { namespace, name, near } = &missed else { panic!("{missed}") };
    assert_eq!((*namespace, name.as_str(), near.names().len()), (names.namespace(), "probe", 0));
    assert_eq!(missed.to_string(), format!("no service probe in namespace {}", names.namespace()));
}

#[tokio::test]
async fn fnd_6_lookup_is_counted() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    names.lookup(&PROBE).unwrap();
    names.with(&PROBE, |_| ()).unwrap();
    assert_eq!((count(&names, "registry.lookups"), count(&names, "registry.misses")), (2, 0));
}

#[tokio::test]
async fn fnd_6_lookup_that_fails_is_counted_as_a_miss() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    names.lookup(&OTHER).unwrap_err();
    names.lookup(&key::<LampMsg>("probe")).unwrap_err();
    assert_eq!((count(&names, "registry.lookups"), count(&names, "registry.misses")), (2, 2));
}

struct Broken;

impl Reporter for Broken {
    fn report(&self, _: &Report) {
        panic!("the reporter is broken");
    }
}

async fn world_with_a_broken_reporter() -> (ProcessRegistry, foundation::names::ServiceRegistry) {
    let registry = ProcessRegistry::builder().reporter(Broken).start().await.unwrap();
    let names = registry.namespace(Namespace::test()).await.unwrap();
    (registry, names)
}

#[tokio::test]
async fn fnd_6_lookup_works_while_telemetry_fails() {
    let (_registry, names) = world_with_a_broken_reporter().await;
    let puppet = Puppet::default();
    let on = puppet.clone();
    names.supervise(names.child_spec(&PROBE, move || (on.actor(), ()))).await.unwrap();
    let first = names.lookup(&PROBE).unwrap();
    first.cast(Command::Panic("ordered to panic")).unwrap();
    puppet.lived(2).await;
    let second = names.wait_for_service(&PROBE, SOON).await.unwrap();
    assert_ne!(first.get_id(), second.get_id(), "the restart works, too");
}

#[tokio::test]
async fn fnd_6_register_works_while_telemetry_fails() {
    let (_registry, names) = world_with_a_broken_reporter().await;
    let actor = foreign(Probe::default()).await;
    names.register(&PROBE, &actor).await.unwrap();
    assert_eq!(names.lookup(&PROBE).unwrap().get_id(), actor.get_id());
    assert_eq!(count(&names, "registry.registrations"), 1);
    let report = names.cleanup().await.unwrap();
    assert!(!report.stopped.is_empty(), "nor does the clean-up suffer");
}

// ---- unregister and list ----

#[tokio::test]
async fn fnd_6_unregister_frees_the_name() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert!(names.unregister(&PROBE));
    assert!(!names.is_registered(&PROBE));
}

#[tokio::test]
async fn fnd_6_unregister_a_free_name_succeeds() {
    let (_registry, names) = test_registry().await;
    assert!(!names.unregister(&PROBE));
}

#[tokio::test]
async fn fnd_6_list_services_may_be_empty() {
    let (_registry, names) = test_registry().await;
    assert!(names.list_services().is_empty());
}

#[tokio::test]
async fn fnd_6_list_services_has_all_names_sorted() {
    let (_registry, names) = test_registry().await;
    for name in ["zebra", "ant", "mole"] {
        names.spawn(&key(name), Probe::default(), ()).await.unwrap();
    }
    assert_eq!(names_in(&names), ["ant", "mole", "zebra"]);
}

// ---- health check ----

#[tokio::test]
async fn fnd_6_health_check_of_a_live_service_is_healthy() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let health = names.health_check(&PROBE, HealthCheck::alive(), SOON).await;
    assert_eq!(health, Health::Healthy);
    assert!(health.is_healthy());
}

#[tokio::test]
async fn fnd_6_health_check_of_an_unknown_service_is_not_found() {
    let (_registry, names) = test_registry().await;
    let health = names.health_check(&PROBE, HealthCheck::alive(), SOON).await;
    assert_eq!((health.to_string().as_str(), &health), ("not found", &Health::NotFound));
}

#[tokio::test]
async fn fnd_6_health_check_of_a_service_that_is_ending_is_dead() {
    let (_registry, names) = test_registry().await;
    let gate = Gate::new();
    let actor = names.spawn(&PROBE, Probe::default().stop(Behavior::Wait(gate.clone())), ()).await.unwrap();
    actor.stop(None);
    gate.arrival().await;
    assert_eq!(names.health_check(&PROBE, HealthCheck::alive(), SOON).await, Health::Dead);
    gate.open();
}

async fn checked(check: HealthCheck<Command>) -> Health {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    names.health_check(&PROBE, check, SOON).await
}

#[tokio::test]
async fn fnd_6_health_check_function_that_returns_true_is_healthy() {
    assert_eq!(checked(HealthCheck::function(|_| async { true })).await, Health::Healthy);
    assert_eq!(checked(HealthCheck::call(|reply| Command::Answer(true, reply))).await, Health::Healthy);
}

#[tokio::test]
async fn fnd_6_health_check_function_that_returns_unit_is_healthy() {
    assert_eq!(checked(HealthCheck::function(|_| async {})).await, Health::Healthy);
}

#[tokio::test]
async fn fnd_6_health_check_function_that_returns_ok_is_healthy() {
    assert_eq!(checked(HealthCheck::function(|_| async { Ok::<_, &str>("fine") })).await, Health::Healthy);
    assert_eq!(checked(HealthCheck::call(|reply| Command::AnswerResult(Ok(7), reply))).await, Health::Healthy);
}

#[tokio::test]
async fn fnd_6_health_check_function_that_returns_false_or_an_error_has_failed() {
    let no = Health::Failed("the check said no".to_owned());
    assert_eq!(checked(HealthCheck::function(|_| async { false })).await, no);
    assert_eq!(checked(HealthCheck::call(|reply| Command::Answer(false, reply))).await, no);
    let cause = Health::Failed("the disk is full".to_owned());
    assert_eq!(checked(HealthCheck::function(|_| async { Err::<(), _>("the disk is full") })).await, cause);
    assert_eq!(checked(HealthCheck::call(|reply| Command::AnswerResult(Err("the disk is full"), reply))).await, cause);
}

#[tokio::test(start_paused = true)]
async fn fnd_6_health_check_that_takes_too_long_has_timed_out() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let begun = Instant::now();
    let limit = Duration::from_millis(300);
    let health = names.health_check(&PROBE, HealthCheck::call(Command::Keep), limit).await;
    assert_eq!(health, Health::TimedOut(limit));
    assert_eq!(begun.elapsed(), limit);
    let never = HealthCheck::<Command>::function(|_| std::future::pending::<()>());
    assert_eq!(names.health_check(&PROBE, never, limit).await.to_string(), "timed out after 300ms");
    assert_eq!(names.health_check(&PROBE, HealthCheck::alive(), SOON).await, Health::Healthy);
}

#[tokio::test]
async fn fnd_6_health_check_function_that_panics_has_crashed() {
    let panics = HealthCheck::function(|_| async { panic!("broken in the check") as () });
    assert_eq!(checked(panics).await, Health::Crashed("broken in the check".to_owned()));
    // A function that panics before it has made its future fails in the same way.
    let at_once = HealthCheck::function(|_| -> std::future::Ready<bool> { panic!("broken at once") });
    assert_eq!(checked(at_once).await, Health::Crashed("broken at once".to_owned()));
}

/// Adapted: there, the check exits with its service; here, the check ends without an answer.
#[tokio::test]
async fn fnd_6_health_check_of_a_service_that_ends_during_it_is_not_healthy() {
    let (_registry, names) = test_registry().await;
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let dropped = names.health_check(&PROBE, HealthCheck::call(Command::Drop), SOON).await;
    assert_eq!(dropped, Health::Failed("the service dropped the message without an answer".to_owned()));

    let check = names.health_check(&PROBE, HealthCheck::call(Command::Keep), SOON);
    let (health, ()) = tokio::join!(check, async { actor.kill() });
    assert!(!health.is_healthy() && !matches!(health, Health::TimedOut(_)), "{health}");
}

#[tokio::test]
async fn fnd_6_health_check_is_quiet_by_default() {
    let (_registry, names) = test_registry().await;
    names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let (log, _listening) = TraceLog::of_thread(Level::INFO);
    assert!(names.health_check(&PROBE, HealthCheck::alive(), SOON).await.is_healthy());
    assert_eq!(log.lines(&[]), Vec::<String>::new());
}

#[tokio::test]
async fn fnd_6_health_check_is_logged_when_asked_for() {
    let (log, _listening) = TraceLog::of_thread(Level::DEBUG);
    assert!(checked(HealthCheck::alive()).await.is_healthy());
    assert_eq!(log.lines(&["DEBUG health check", "service=probe", "health=healthy"]).len(), 1);
}

// ---- waiting ----

#[tokio::test]
async fn fnd_6_wait_for_service_returns_at_once_if_it_is_there() {
    let (_registry, names) = test_registry().await;
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    let found = names.wait_for_service(&PROBE, None).now_or_never().expect("ready at once").unwrap();
    assert_eq!(found.get_id(), actor.get_id());
}

#[tokio::test(start_paused = true)]
async fn fnd_6_wait_for_service_returns_when_it_appears() {
    let (_registry, names) = test_registry().await;
    let begun = Instant::now();
    let (found, spawned) =
        tokio::join!(names.wait_for_service(&PROBE, SOON), names.spawn(&PROBE, Probe::default(), ()));
    assert_eq!(found.unwrap().get_id(), spawned.unwrap().get_id());
    assert_eq!(begun.elapsed(), Duration::ZERO, "woken, not polled");
}

#[tokio::test(start_paused = true)]
async fn fnd_6_wait_for_service_ends_with_its_limit() {
    let (_registry, names) = test_registry().await;
    let begun = Instant::now();
    let limit = Duration::from_millis(1234);
    let late = names.wait_for_service(&PROBE, limit).await.unwrap_err();
    assert!(matches!(late, RegistryError::WaitTimedOut { waited, .. } if waited == limit), "{late}");
    assert_eq!(begun.elapsed(), limit);
}

#[tokio::test(start_paused = true)]
async fn fnd_6_wait_for_service_without_a_limit_has_none() {
    let (_registry, names) = test_registry().await;
    let mut waiting = pin!(names.wait_for_service(&PROBE, None));
    assert!(timeout(Duration::from_secs(24 * 3_600), &mut waiting).await.is_err());
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert_eq!(waiting.await.unwrap().get_id(), actor.get_id());
}

// ---- info ----

#[tokio::test]
async fn fnd_6_service_info_of_an_empty_namespace_is_empty() {
    let (_registry, names) = test_registry().await;
    let info = names.service_info();
    assert_eq!((info.namespace, info.total(), info.healthy()), (names.namespace(), 0, 0));
}

#[tokio::test]
async fn fnd_6_service_info_has_the_details() {
    let (_registry, names) = test_registry().await;
    let probe = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    names.register(&OTHER, &foreign(Probe::default()).await).await.unwrap();
    let info = names.service_info();
    assert_eq!((info.total(), info.healthy()), (2, 2));
    let [other, first] = &info.services[..] else { panic!("{info:?}") };
    assert_eq!((first.name.as_str(), first.actor, first.healthy), ("probe", probe.get_id(), true));
    assert!(first.message.ends_with("Command"), "{}", first.message);
    assert_eq!((first.origin, other.origin), (Origin::Managed, Origin::Foreign));
}

#[tokio::test]
async fn fnd_6_service_info_marks_the_dead_as_not_healthy() {
    let (_registry, names) = test_registry().await;
    let gate = Gate::new();
    let actor = names.spawn(&PROBE, Probe::default().stop(Behavior::Wait(gate.clone())), ()).await.unwrap();
    names.spawn(&OTHER, Probe::default(), ()).await.unwrap();
    actor.stop(None);
    gate.arrival().await;
    let info = names.service_info();
    assert_eq!((info.total(), info.healthy()), (2, 1));
    assert!(!info.services[1].healthy);
    gate.open();
}

// ---- clean-up ----

#[tokio::test]
async fn fnd_6_cleanup_ends_all_and_is_logged() {
    let (log, _listening) = TraceLog::of_thread(Level::DEBUG);
    let (_registry, names) = test_registry().await;
    let puppet = Puppet::default();
    names.spawn(&PROBE, puppet.actor(), ()).await.unwrap();
    names.cleanup().await.unwrap();
    assert!(puppet.alive() == 0);
    assert_eq!(log.lines(&["namespace cleaned up", &names.namespace().to_string()]).len(), 1);
}

/// Adapted: the reference logs nothing for an empty one; here the line reports that there was no service.
#[tokio::test]
async fn fnd_6_cleanup_of_an_empty_namespace_succeeds_and_is_logged() {
    let (log, _listening) = TraceLog::of_thread(Level::DEBUG);
    let (_registry, names) = test_registry().await;
    names.cleanup().await.unwrap();
    names.cleanup().await.unwrap();
    assert_eq!(log.lines(&["namespace cleaned up", "0 of them killed"]).len(), 2);
}

// ---- via, errors, integration ----

#[tokio::test]
async fn fnd_6_via_delegates_to_the_service() {
    let (_registry, names) = test_registry().await;
    let via: Via<Command> = names.via(&PROBE);
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    via.cast(Command::Note("one")).unwrap();
    assert_eq!(via.call(Command::Notes, SOON).await.unwrap(), ["one"]);
    assert_eq!(via.call(Command::Id, SOON).await.unwrap(), actor.get_id());
}

#[tokio::test]
async fn fnd_6_via_of_two_test_namespaces_reach_two_services() {
    let (registry, ours) = test_registry().await;
    let theirs = registry.namespace(Namespace::test()).await.unwrap();
    for names in [&ours, &theirs] {
        names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    }
    ours.via(&PROBE).cast(Command::Note("ours")).unwrap();
    assert_eq!(ours.via(&PROBE).call(Command::Notes, SOON).await.unwrap(), ["ours"]);
    assert_eq!(theirs.via(&PROBE).call(Command::Notes, SOON).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn fnd_6_errors_have_fields_and_keep_the_error_within() {
    let (_registry, names) = test_registry().await;
    let failed = names.spawn(&PROBE, Probe::default().start(Behavior::Fail("no coffee")), ()).await.unwrap_err();
    let RegistryError::Start { namespace, name, error } = &failed else { panic!("{failed}") };
    assert_eq!((*namespace, name.as_str(), error.to_string().as_str()), (names.namespace(), "probe", "no coffee"));
    let text = format!("service probe in namespace {namespace} did not start: no coffee");
    assert_eq!(failed.to_string(), text, "and no chain of sources says it again");
    assert!(std::error::Error::source(&failed).is_none());
}

#[tokio::test]
async fn fnd_6_the_process_registry_finds_a_service_that_the_facade_registers() {
    let (registry, names) = test_registry().await;
    let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
    assert_eq!(registry.namespace(names.namespace()).await.unwrap().lookup(&PROBE).unwrap().get_id(), actor.get_id());
    assert_eq!(registry.namespace(names.namespace()).await.unwrap().list_services().len(), 1);
}

#[tokio::test]
async fn fnd_6_the_facade_finds_a_service_that_the_process_registry_registers() {
    let (registry, names) = test_registry().await;
    let actor = foreign(Probe::default()).await;
    registry.namespace(names.namespace()).await.unwrap().register(&PROBE, &actor).await.unwrap();
    assert_eq!(names.lookup(&PROBE).unwrap().get_id(), actor.get_id());
    assert_eq!(names_in(&names), ["probe"]);
}
