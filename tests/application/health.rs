//! Health: which children count, how long a restart may take, and the causes of a degraded health.

use std::future::{pending, ready};
use std::time::Duration;

use foundation::health::Condition;
use foundation::names::ServiceName;
use foundation::supervision::{
    Backoff, DynamicSupervisorSpec, Health, HealthLimits, PartitionSupervisorSpec, RestartIntensity, SupervisorSpec,
};
use foundation::{
    ChildSpec, ConfigServer, EventStore, Foundation, FoundationBuilder, Limits, Restart, ServiceKey, Services,
    Strategy, Telemetry, TestNamespace,
};
use foundation_testkit::{Command, Probe, pid, unregister_event_store};
use tokio::time::advance;

/// A panic without the panic hook, which is slow on a busy machine.
fn fail_with<T>(text: &'static str) -> T {
    std::panic::resume_unwind(Box::new(text))
}

const SECOND: Duration = Duration::from_secs(1);

fn worker(id: impl Into<foundation::supervision::ChildId>) -> ChildSpec {
    ChildSpec::worker(id, || (Probe::default(), ()))
}

/// A foundation whose application has this child, with an unlimited intensity.
fn with_child(child: impl Fn(&Services) -> ChildSpec + Send + Sync + 'static) -> FoundationBuilder {
    Foundation::builder().child(child).intensity(RestartIntensity::UNLIMITED)
}

async fn find(services: &Services, name: &str) -> Health {
    let health = services.health().await;
    let found = health.services.iter().find(|service| service.name == name);
    found.unwrap_or_else(|| panic!("{name} counts in\n{health}")).health.clone()
}

/// Ends a child and returns when its supervisor has read its exit.
async fn fail(services: &Services, id: &str) {
    let application = services.application().unwrap();
    let actor = application.child(id).await.unwrap().unwrap();
    actor.kill();
    actor.wait(None).await.unwrap();
    // An exit is read before any later message, so this answer takes it into account.
    application.count_children().await.unwrap();
}

// ---- which children count, and for how long ----

#[tokio::test(start_paused = true)]
async fn a_child_that_restarts_is_healthy_for_a_second_and_then_down_until_it_is_back() {
    let slow = || worker("porter").backoff(Backoff::Constant(5 * SECOND)).in_health();
    let foundation = with_child(move |_| slow()).start().await.unwrap();
    let services = foundation.production();
    fail(services, "porter").await;
    assert_eq!(find(services, "porter").await, Health::Healthy);
    advance(SECOND / 2).await;
    // An earlier query makes no difference: the grace begins when the child went down.
    assert_eq!(find(services, "porter").await, Health::Healthy);
    advance(SECOND).await;
    let health = find(services, "porter").await;
    assert_eq!(health, Health::Down("restarting for 1.5s; last exit: killed".to_owned()));
    assert_eq!(foundation.health().await.condition(), Condition::Degraded);
    advance(4 * SECOND).await;
    services.application().unwrap().count_children().await.unwrap();
    assert!(foundation.health().await.is_healthy());
    foundation.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_child_that_fails_repeatedly_within_the_grace_is_degraded_until_it_has_been_up_for_one() {
    let foundation = with_child(|_| worker("porter").in_health()).start().await.unwrap();
    let services = foundation.production();
    for _ in 0..3 {
        fail(services, "porter").await;
        assert_eq!(find(services, "porter").await, Health::Healthy);
        advance(2 * SECOND / 5).await;
    }
    for failures in 4..8 {
        fail(services, "porter").await;
        let health = find(services, "porter").await;
        let shown = format!("failed {failures} times within {:.1}s; last exit: killed", f64::from(failures - 1) * 0.4);
        assert_eq!(health, Health::Degraded(shown));
        advance(2 * SECOND / 5).await;
    }
    assert_eq!(foundation.health().await.condition(), Condition::Degraded, "up for less than a grace");
    advance(SECOND).await;
    assert!(foundation.health().await.is_healthy());
    fail(services, "porter").await;
    assert!(foundation.health().await.is_healthy(), "the first of another run");
    foundation.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn the_grace_of_a_restart_is_a_limit() {
    let slow = || worker("porter").backoff(Backoff::Constant(5 * SECOND)).in_health();
    let limits = Limits::new().health(HealthLimits::new().grace(Duration::ZERO));
    let foundation = with_child(move |_| slow()).limits(limits).start().await.unwrap();
    fail(foundation.production(), "porter").await;
    assert!(matches!(find(foundation.production(), "porter").await, Health::Down(_)));
    foundation.shutdown().await;
}

#[tokio::test]
async fn workers_that_do_not_count_never_change_the_health() {
    let foundation = Foundation::builder().intensity(RestartIntensity::UNLIMITED).start().await.unwrap();
    let services = foundation.production();
    let named = (0..1_000).map(|n| ServiceKey::<Command>::new(format!("worker_{n}")).unwrap());
    let slow = |key: &ServiceKey<Command>| {
        services.child_spec(key, || (Probe::default(), ())).backoff(Backoff::Constant(SECOND))
    };
    for key in named {
        services.supervise(slow(&key)).await.unwrap();
    }
    for n in 0..40 {
        fail(services, &format!("worker_{n}")).await;
        assert!(n % 10 != 0 || foundation.health().await.is_healthy());
    }
    assert_eq!(foundation.health().await.to_string().lines().count(), 5);
    foundation.shutdown().await;
}

#[tokio::test]
async fn ten_thousand_children_that_count_are_written_in_fifty_lines() {
    let foundation = with_child(|_| ChildSpec::dynamic_supervisor("pool", DynamicSupervisorSpec::default()));
    let foundation = foundation.start().await.unwrap();
    let pool = foundation.production().application().unwrap().dynamic_supervisor("pool").await.unwrap().unwrap();
    for n in 0..10_000 {
        pool.start_child(worker(format!("w{n}")).in_health()).await.unwrap();
    }
    let health = foundation.health().await;
    assert_eq!((health.services.len(), health.condition()), (10_005, Condition::Healthy));
    assert_eq!(health.to_string().lines().count(), 50);
    foundation.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_unnamed_child_of_a_supervisor_within_counts_by_its_path() {
    let team =
        || SupervisorSpec::new(Strategy::OneForOne).child(worker("porter").restart(Restart::Transient).in_health());
    let foundation = with_child(move |_| ChildSpec::supervisor("team", team())).start().await.unwrap();
    let services = foundation.production();
    assert_eq!(find(services, "team/porter").await, Health::Healthy);
    let team = services.application().unwrap().supervisor("team").await.unwrap().unwrap();
    team.terminate_child("porter").await.unwrap();
    assert_eq!(find(services, "team/porter").await, Health::Down("stopped for 0.0s".to_owned()));
    // The supervisor counts since a child below it does: while it is away the porter's health is unknown.
    services.application().unwrap().terminate_child("team").await.unwrap();
    assert!(matches!(find(services, "team").await, Health::Down(_)));
    foundation.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn partitions_that_stopped_for_good_degrade_their_supervisor() {
    let spec = PartitionSupervisorSpec::workers(4, |_| (Probe::default(), ())).unwrap().restart(Restart::Temporary);
    let (handle, shared) = (spec.handle(), spec.clone());
    let builder = with_child(move |_| ChildSpec::partition_supervisor("shards", shared.clone()).in_health());
    let foundation = builder.start().await.unwrap();
    assert_eq!(find(foundation.production(), "shards").await, Health::Healthy);
    let shard = handle.at(2).unwrap();
    shard.cast(Command::Fail("ordered to fail")).unwrap();
    shard.wait(None).await.unwrap();
    handle.count_children().await.unwrap();
    advance(2 * SECOND).await;
    let health = find(foundation.production(), "shards").await;
    assert_eq!(health, Health::Degraded("of its 4 partitions 2 are down".to_owned()));
    // Partitions that were resized away are not missing.
    handle.resize(2).await.unwrap();
    assert_eq!(find(foundation.production(), "shards").await, Health::Healthy);
    foundation.shutdown().await;
}

// ---- checks ----

#[foundation::test]
async fn a_check_of_a_child_decides_its_health_while_it_runs(namespace: TestNamespace) {
    let checked = |id: &str, health: Health| worker(id).health_check(move |_| ready(health.clone()));
    let half = Health::Degraded("one relay is away".to_owned());
    namespace.services().supervise(checked("mailer", half.clone())).await.unwrap();
    namespace.services().supervise(checked("printer", Health::Healthy)).await.unwrap();
    namespace
        .services()
        .supervise(worker("scanner").health_check(|_| async { Err::<(), _>("no paper") }))
        .await
        .unwrap();
    assert_eq!(find(namespace.services(), "mailer").await, half);
    assert_eq!(find(namespace.services(), "printer").await, Health::Healthy);
    let text = namespace.health().await.to_string();
    assert!(
        text.ends_with(
            "mailer         degraded: one relay is away\nprinter        healthy\nscanner        failed: no paper"
        ),
        "{text}"
    );
}

#[foundation::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_check_that_panics_hangs_or_blocks_is_reported_and_delays_no_other(namespace: TestNamespace) {
    namespace
        .services()
        .supervise(worker("panics").health_check(|_| async { fail_with::<()>("no luck") }))
        .await
        .unwrap();
    namespace
        .services()
        .supervise(worker("panics_at_once").health_check(|_| -> std::future::Ready<()> { fail_with("none") }))
        .await
        .unwrap();
    namespace.services().supervise(worker("hangs").health_check(|_| pending::<()>())).await.unwrap();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    namespace.services().check("blocks", move || {
        let _ = released.lock().unwrap().recv();
        ready(())
    });
    let health = namespace.health().await;
    let of = |name: &str| health.services.iter().find(|service| service.name == name).unwrap().health.clone();
    assert_eq!(of("panics"), Health::Crashed("no luck".to_owned()));
    assert_eq!(of("panics_at_once"), Health::Crashed("none".to_owned()));
    assert_eq!((of("hangs"), of("blocks")), (Health::TimedOut(SECOND), Health::TimedOut(SECOND)));
    assert_eq!(of("event_store"), Health::Healthy);
    drop(release);
    assert!(namespace.services().drop_check("blocks") && !namespace.services().drop_check("blocks"));
    assert_eq!(namespace.health().await.services.len(), 8);
}

#[foundation::test]
async fn a_child_is_degraded_by_an_unhealthy_requirement(namespace: TestNamespace) {
    const MAILER: ServiceName = ServiceName::from_static("mailer");
    namespace.services().supervise(worker("mailer").needs(EventStore::NAME)).await.unwrap();
    namespace.services().supervise(worker("newsletter").needs(MAILER)).await.unwrap();
    assert!(namespace.health().await.is_healthy());
    unregister_event_store(namespace.services());
    let health = namespace.health().await;
    let because: Vec<_> =
        health.unhealthy().map(|it| (it.name.as_str(), it.condition(), it.lacks.join(", "))).collect();
    let degraded = |name: &'static str, lacks: &str| (name, Condition::Degraded, lacks.to_owned());
    let expected = [
        ("event_store", Condition::Down, String::new()),
        degraded("config_server", "event_store"),
        degraded("mailer", "event_store"),
        degraded("newsletter", "mailer"),
    ];
    assert_eq!(because, expected, "{health}");
}

// ---- the foundation's own services ----

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_for_an_hour_ends_no_other_and_is_restarted_at_growing_intervals() {
    let foundation =
        with_child(|services| services.child_spec(&ServiceKey::from_static("clerk"), || (Probe::default(), ())))
            .start();
    let foundation = foundation.await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let clerk = ServiceName::from_static("clerk");
    let (store, clerk_before) = (pid(namespace.services(), &EventStore::NAME), pid(namespace.services(), &clerk));
    let begun = tokio::time::Instant::now();
    let mut kills = 0;
    while begun.elapsed() < 3_600 * SECOND {
        namespace.kill(&Telemetry::NAME).await.unwrap();
        kills += 1;
        namespace.telemetry().wait_until_up(60 * SECOND).await.unwrap();
    }
    assert!((100..200).contains(&kills), "{kills} restarts in an hour of failures at once");
    assert_eq!(
        (store, clerk_before),
        (pid(namespace.services(), &EventStore::NAME), pid(namespace.services(), &clerk))
    );
    namespace.kill(&Telemetry::NAME).await.unwrap();
    advance(2 * SECOND).await;
    let health = namespace.health().await;
    assert_eq!(health.services[0].condition(), Condition::Down, "{health}");
    assert!(health.to_string().starts_with("telemetry      down: restarting for 2."), "{health}");
    foundation.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn the_intensity_of_services_can_be_limited_for_each_service() {
    let once = RestartIntensity::new(1, 5 * SECOND);
    let builder = Foundation::builder().service_intensity(once).service_backoff(Backoff::None);
    let foundation = builder.start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    for name in [Telemetry::NAME, ConfigServer::NAME] {
        namespace.kill(&name).await.unwrap();
    }
    namespace.telemetry().wait_until_up(None).await.unwrap();
    namespace.config().wait_until_up(None).await.unwrap();
    assert!(namespace.health().await.is_healthy());
    // The second failure of one of them exceeds the intensity.
    let application = namespace.services().application().unwrap();
    namespace.kill(&Telemetry::NAME).await.unwrap();
    application.wait_until_gone().await;
    foundation.shutdown().await;
}

// ---- the written form ----

#[tokio::test]
async fn a_health_is_written_in_as_many_lines_and_bytes_as_the_limits_say() {
    for (lines, bytes) in [(3, 20), (1, 8), (0, 40), (2, 0), (100, 10)] {
        let limits = Limits::new().health(HealthLimits::new().lines(lines).line_bytes(bytes));
        let pool = |_: &Services| worker("a_name_that_is_longer_than_a_line_may_be").in_health();
        let foundation = with_child(pool).limits(limits).start().await.unwrap();
        let text = foundation.health().await.to_string();
        assert!(text.lines().count() <= lines.max(1), "{lines} lines of {bytes} bytes:\n{text}");
        assert!(text.lines().all(|line| line.len() <= bytes), "{lines} lines of {bytes} bytes:\n{text}");
        foundation.shutdown().await;
    }
}

#[foundation::test]
async fn a_child_is_degraded_by_a_requirement_that_does_not_count(namespace: TestNamespace) {
    const LODGER: ServiceName = ServiceName::from_static("lodger");
    namespace.services().supervise(worker("lodger")).await.unwrap();
    namespace.services().supervise(worker("host").needs(LODGER)).await.unwrap();
    let health = namespace.health().await;
    let unwell: Vec<_> = health.unhealthy().map(|it| (it.name.as_str(), it.condition(), it.lacks.clone())).collect();
    assert_eq!(unwell, [("host", Condition::Degraded, vec!["lodger".to_owned()])], "{health}");
    // It counts by itself since it has a requirement, and its requirement is left alone.
    let application = namespace.services().application().unwrap();
    application.terminate_child("lodger").await.unwrap();
    assert!(application.child("host").await.unwrap().is_some());
}
