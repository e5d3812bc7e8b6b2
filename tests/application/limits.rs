//! The limits of a foundation: each is enforced by the part that it applies to.

use std::time::Duration;

use std::sync::Arc;

use foundation::config::{ConfigServerLimits, ConfigSources};
use foundation::events::EventStoreLimits;
use foundation::names::{ProcessRegistry, RegistryError, RegistryLimits};
use foundation::supervision::{
    ChildError, Health, HealthLimits, Shutdown, SupervisorKey, SupervisorLimits, SupervisorSpec,
};
use foundation::{
    ChildSpec, ConfigServer, EventStore, Foundation, Limits, NewEvent, ServiceKey, Strategy, Supervisor, Telemetry,
};
use foundation_testkit::{Behavior, Command, Probe, TestClock, assert_error, error_text, held_up_by};
use futures::future::{join_all, select_all};
use futures::{FutureExt, TryFutureExt};
use tokio::time::{Instant, timeout};

const CLERK: ServiceKey<Command> = ServiceKey::from_static("clerk");
const SHORT: Duration = Duration::from_millis(20);

fn supervisors(limits: SupervisorLimits) -> Limits {
    Limits::new().registry(RegistryLimits::new().supervisor(limits))
}

#[tokio::test(start_paused = true)]
async fn a_wait_without_a_limit_lasts_until_the_end_of_the_namespace() {
    let registry = ProcessRegistry::builder().limits(RegistryLimits::new().wait(SHORT)).start().await.unwrap();
    let names = registry.namespace(foundation::Namespace::Production).await.unwrap();
    let config = ConfigServer::new(&names, &Arc::new(ConfigSources::new().load().unwrap()));
    let (telemetry, events) = (Telemetry::of(&names), EventStore::of(&names));
    let clerk = CLERK;
    let mut waits = vec![
        names.wait_for_service(&clerk, None).map_ok(drop).boxed(),
        config.wait_until_up(None).boxed(),
        telemetry.wait_until_up(None).boxed(),
        events.wait_until_up(None).boxed(),
        events.wait_until_readable(None).boxed(),
    ];
    assert!(timeout(Duration::from_secs(30 * 24 * 3_600), select_all(&mut waits)).await.is_err());
    registry.shutdown().await;
    for ended in join_all(waits).await {
        assert!(matches!(ended, Err(RegistryError::NotRunning { .. })), "{ended:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_zero_finds_an_existing_service_and_does_not_wait() {
    let limits = Limits::new().registry(RegistryLimits::new().wait(Duration::ZERO));
    let foundation = Foundation::builder().limits(limits).start().await.unwrap();
    foundation.events().wait_until_up(Duration::ZERO).await.unwrap();
    let begun = Instant::now();
    foundation.production().wait_for_service(&CLERK, Duration::ZERO).await.unwrap_err();
    let clerks: SupervisorKey<Supervisor> = SupervisorKey::new("clerks").unwrap();
    foundation.production().supervisor(&clerks).count_children().await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_millis(5));
    foundation.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_beyond_all_timers_waits_and_does_not_overflow() {
    let most = Duration::MAX;
    let supervisor = SupervisorLimits::new().tree(most).worker_start(most).worker_stop(most).unmanaged_stop(most);
    let registry = RegistryLimits::new().wait(most).name_release(most).supervisor(supervisor.subtree_end(most));
    let events = EventStoreLimits::new().answer(most).locked_file(most);
    let limits = Limits::new().registry(registry).events(events).health(HealthLimits::new().answer(most));
    let foundation = Foundation::builder().limits(limits).start().await.unwrap();
    foundation.events().append(NewEvent::new("noted").unwrap()).await.unwrap();
    assert!(foundation.health().await.is_healthy());
    assert_eq!(foundation.tree().await.children.len(), 1);
    foundation.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_does_not_stop_is_killed_after_the_configured_limit() {
    let stuck =
        |services: &foundation::Services| services.child_spec(&CLERK, || (Probe::default().stop(Behavior::Hang), ()));
    let limits = supervisors(SupervisorLimits::new().worker_stop(SHORT));
    let foundation = Foundation::builder().limits(limits).child(stuck).start().await.unwrap();
    let report = foundation.shutdown().await;
    assert_eq!(report.took.as_millis(), SHORT.as_millis());
    assert_eq!(report.namespaces[0].killed().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_hangs_in_its_start_is_cancelled_after_the_configured_limit() {
    let stuck =
        |services: &foundation::Services| services.child_spec(&CLERK, || (Probe::default().start(Behavior::Hang), ()));
    let limits = supervisors(SupervisorLimits::new().worker_start(SHORT));
    let error = error_text(Foundation::builder().limits(limits).child(stuck).start().await);
    assert!(error.contains("20ms"), "{error}");
}

#[tokio::test]
async fn the_limits_of_a_supervisor_apply_below_it_unless_another_one_overrides_them() {
    let clerk = || ChildSpec::worker("clerk", || (Probe::default(), ()));
    let with_clerk = || SupervisorSpec::new(Strategy::OneForOne).child(clerk());
    let hasty = SupervisorLimits::new().worker_stop(Duration::from_millis(1));
    let spec = with_clerk()
        .limits(SupervisorLimits::new().worker_stop(SHORT))
        .child(ChildSpec::supervisor("like it", with_clerk()))
        .child(ChildSpec::supervisor("hasty", with_clerk().limits(hasty)));
    let office = Supervisor::start("office", spec).await.unwrap();
    let like_it = office.supervisor("like it").await.unwrap().unwrap();
    let hasty = office.supervisor("hasty").await.unwrap().unwrap();
    for (supervisor, limit) in [(&office, SHORT), (&like_it, SHORT), (&hasty, Duration::from_millis(1))] {
        let found = supervisor.child_spec("clerk").await.unwrap();
        assert_eq!(found.shutdown_rule(), Shutdown::Timeout(limit), "{}", supervisor.path());
    }
    // A child's own limit comes first, and an unset limit is the default.
    let explicit = office.start_child(clerk().shutdown(Shutdown::BrutalKill)).await;
    assert_error!(explicit, ChildError::AlreadyStarted { .. }, "the id is taken");
    assert_eq!(clerk().shutdown_rule(), Shutdown::Timeout(Duration::from_secs(5)));
    office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_wait_for_each_service_has_the_limit_of_that_service() {
    let (clock, config) = (TestClock::default(), ConfigServerLimits::new().answer(Duration::from_millis(30)));
    let limits = Limits::new()
        .events(EventStoreLimits::new().answer(Duration::from_millis(300)))
        .config(config.inquiry(Duration::from_secs(10)))
        .health(HealthLimits::new().answer(Duration::from_millis(100)));
    let foundation = held_up_by(&clock).limits(limits).start().await.unwrap();
    let mut held = clock.hold_next();
    let error = error_text(foundation.events().append(NewEvent::new("stuck").unwrap()).await);
    assert!(error.contains("did not answer within 300ms"), "{error}");
    held.arrival().await;
    let error = error_text(foundation.config().update("server.port", 1).await);
    assert!(error.contains("within 30ms"), "{error}");
    let health = foundation.health().await;
    assert_eq!(health.services[1].health, Health::TimedOut(Duration::from_millis(100)));
    drop(held);
    foundation.shutdown().await;
}
