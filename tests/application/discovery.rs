//! Discovery through the services of a namespace: isolated, recorded, measured, and part of the health.

use std::future::ready;
use std::time::Duration;

use foundation::discovery::health::CheckRules;
use foundation::discovery::{
    Criteria, Discovery, DiscoveryOptions, DiscoveryRecording, Instance, InstanceCheck, InstanceName,
};
use foundation::events::{EventKind, Query};
use foundation::health::Condition;
use foundation::names::ServiceName;
use foundation::ractor::ActorRef;
use foundation::supervision::Health;
use foundation::{EventStore, Foundation, Services, TestNamespace};
use foundation_testkit::{Command, Probe, eventually};
use serde_json::Value;

static ORDERS: ServiceName = ServiceName::from_static("orders");

async fn spawn(services: &Services, id: &str) -> ActorRef<Command> {
    let instance = Instance::builder(ORDERS.as_str(), id).build().unwrap();
    services.discovery().spawn(&instance, Probe::default(), ()).await.unwrap()
}

/// A check of this instance has failed.
fn fail(services: &Services, id: &str) {
    let name = InstanceName::new(&ORDERS, id).unwrap();
    let failed = Health::Failed("no disk".to_owned());
    services.discovery().record_check(&name, "disk", &CheckRules::new().fall(1), failed).unwrap();
}

/// The kinds and payloads of the recorded events of discovery, once there are so many.
async fn recorded(events: &EventStore, wanted: usize) -> Vec<(EventKind, Value)> {
    eventually("the events of discovery", async || {
        let events = events.query(Query::new().source("discovery")).await.unwrap();
        let events: Vec<_> = events.iter().map(|event| (event.kind.clone(), event.payload.clone())).collect();
        (events.len() >= wanted).then_some(events)
    })
    .await
}

#[foundation::test]
async fn what_happens_to_an_instance_is_recorded_in_its_namespace(namespace: TestNamespace) {
    let actor = spawn(namespace.services(), "a").await;
    // An instance that comes and goes before the service has begun to follow is not seen.
    recorded(namespace.events(), 1).await;
    fail(namespace.services(), "a");
    actor.kill_and_wait(None).await.unwrap();
    let events = recorded(namespace.events(), 3).await;
    let kinds: Vec<_> = events.iter().map(|(kind, _)| kind.clone()).collect();
    let expected =
        [DiscoveryRecording::INSTANCE_ADDED, DiscoveryRecording::STATUS_CHANGED, DiscoveryRecording::INSTANCE_REMOVED];
    assert_eq!(kinds, expected);
    assert!(events.iter().all(|(_, payload)| payload["instance"] == "orders.a" && payload["service"] == "orders"));
    let (changed, removed) = (&events[1].1, &events[2].1);
    assert_eq!(
        (&changed["from"], &changed["to"], &changed["cause"]),
        (&"unknown".into(), &"unhealthy".into(), &"failed: no disk".into())
    );
    assert_eq!(removed["cause"], "its actor ended: killed");
}

#[foundation::test]
async fn a_service_of_discovery_that_is_killed_loses_and_repeats_no_event(namespace: TestNamespace) {
    spawn(namespace.services(), "first").await;
    recorded(namespace.events(), 1).await;
    for round in 0..5 {
        spawn(namespace.services(), &format!("a{round}")).await;
        let is_up = async || namespace.registry().lookup_any(&Discovery::NAME).ok();
        eventually("the service of discovery", is_up).await.cell().kill_and_wait(None).await.unwrap();
        assert_eq!(namespace.discovery().instances(&Criteria::service(&ORDERS)).unwrap().len(), round + 2);
        spawn(namespace.services(), &format!("b{round}")).await;
        fail(namespace.services(), &format!("b{round}"));
        let name = InstanceName::new(&ORDERS, &format!("b{round}")).unwrap();
        assert!(namespace.discovery().unregister(&name));
    }
    let events = recorded(namespace.events(), 6).await;
    let of = |wanted: &EventKind, events: &[(EventKind, Value)]| {
        let mut of: Vec<_> =
            events.iter().filter(|(kind, _)| kind == wanted).map(|(_, it)| it["instance"].to_string()).collect();
        let all = of.len();
        of.sort();
        of.dedup();
        assert_eq!(of.len(), all, "no event twice");
        all
    };
    assert!(of(&DiscoveryRecording::INSTANCE_ADDED, &events) >= 6);
    let all = eventually("all events", async || {
        let events = recorded(namespace.events(), 0).await;
        let removed = of(&DiscoveryRecording::INSTANCE_REMOVED, &events);
        (of(&DiscoveryRecording::INSTANCE_ADDED, &events) == 11 && removed == 5).then_some(events)
    })
    .await;
    assert!(all.iter().all(|(kind, _)| *kind != DiscoveryRecording::DISCOVERY_EVENTS_LOST));
}

#[foundation::test]
async fn instances_are_measured_by_service_and_status(namespace: TestNamespace) {
    spawn(namespace.services(), "a").await;
    spawn(namespace.services(), "b").await;
    fail(namespace.services(), "b");
    let gauge = |status: &str| {
        let name = format!(r#"discovery.instances{{service="orders",status="{status}"}}"#);
        namespace.telemetry().snapshot().gauge(&name)
    };
    let are_measured = async || (gauge("unknown") == Some(1.0) && gauge("unhealthy") == Some(1.0)).then_some(());
    eventually("the instances", are_measured).await;
    assert!(namespace.telemetry().prometheus().contains("discovery_instances{"));
}

#[foundation::test]
async fn the_health_names_the_service_whose_instances_fail(namespace: TestNamespace) {
    spawn(namespace.services(), "a").await;
    spawn(namespace.services(), "b").await;
    let health = namespace.health().await;
    assert!(health.is_healthy(), "{health}");
    fail(namespace.services(), "b");
    let health = namespace.health().await;
    assert_eq!(health.condition(), Condition::Degraded);
    let expected =
        "discovery/orders  degraded: orders is degraded: 1 unknown, 1 unhealthy; b is unhealthy: failed: no disk";
    assert!(health.to_string().ends_with(expected), "{health}");
    fail(namespace.services(), "a");
    let health = namespace.health().await;
    let orders = health.services.last().unwrap();
    assert_eq!((orders.name.as_str(), orders.condition()), ("discovery/orders", Condition::Down));
}

#[tokio::test]
async fn each_namespace_has_instances_of_its_own_and_a_clean_up_leaves_none() {
    let options = DiscoveryOptions::new().max_instances(2);
    let foundation = Foundation::builder().discovery(options).start().await.unwrap();
    let test = foundation.test_namespace().await.unwrap();
    spawn(foundation.production(), "a").await;
    spawn(test.services(), "b").await;
    for (services, id) in [(foundation.production(), "a"), (test.services(), "b")] {
        let found = services.discovery().instances(&Criteria::service(&ORDERS)).unwrap();
        assert_eq!(found.iter().map(|it| it.name().id()).collect::<Vec<_>>(), [id]);
    }
    spawn(test.services(), "c").await;
    let third = Instance::builder("orders", "d").build().unwrap();
    assert!(test.discovery().spawn(&third, Probe::default(), ()).await.is_err(), "the options are of tests, too");
    let services = test.services().clone();
    test.cleanup().await.unwrap();
    assert!(services.discovery().services().is_empty());
    assert!(services.discovery().spawn(&third, Probe::default(), ()).await.is_err());
    foundation.shutdown().await;
}

#[tokio::test]
async fn nothing_is_recorded_if_that_is_wanted() {
    let builder = Foundation::builder().record_discovery(DiscoveryRecording::Nothing);
    let foundation = builder.start().await.unwrap();
    spawn(foundation.production(), "a").await;
    let gauge = r#"discovery.instances{service="orders",status="unknown"}"#;
    let telemetry = foundation.production().telemetry();
    eventually("the measurement", async || (telemetry.snapshot().gauge(gauge) == Some(1.0)).then_some(())).await;
    assert_eq!(recorded(foundation.events(), 0).await, []);
    foundation.shutdown().await;
}

#[foundation::test]
async fn the_lease_of_a_remote_instance_is_recorded_until_it_is_withdrawn(namespace: TestNamespace) {
    let instance = Instance::builder("orders", "remote").endpoint("grpc://10.0.0.7:8080").build().unwrap();
    let lease = namespace.discovery().announce(&instance, Duration::from_secs(60)).await.unwrap();
    let added = recorded(namespace.events(), 1).await;
    assert_eq!(added[0].1["endpoint"], "grpc://10.0.0.7:8080");
    lease.withdraw().await;
    assert_eq!(recorded(namespace.events(), 2).await[1].0, DiscoveryRecording::INSTANCE_REMOVED);
}

#[foundation::test]
async fn picks_and_checks_are_measured_by_service(namespace: TestNamespace) {
    for id in ["a", "b"] {
        spawn(namespace.services(), id).await;
    }
    let mut selector = namespace.discovery().selector::<Command>(Criteria::service(&ORDERS));
    (0..5).for_each(|_| selector.pick().unwrap().succeeded());
    (0..3).for_each(|_| selector.pick().unwrap().failed());
    drop(selector.pick().unwrap());
    selector.cast(Command::Note("cast")).unwrap();
    fail(namespace.services(), "a");
    fail(namespace.services(), "b");
    assert!(selector.pick().unwrap().fail_open());
    let picks = |outcome: &str| {
        let name = format!(r#"discovery.picks{{outcome="{outcome}",service="orders"}}"#);
        namespace.telemetry().snapshot().counter(&name)
    };
    let counted = ["succeeded", "failed", "cancelled", "cast"].map(picks);
    assert_eq!(counted, [Some(5), Some(3), Some(2), Some(1)], "{}", namespace.telemetry().prometheus());
    namespace.discovery().selector::<u64>(Criteria::service(&ORDERS)).pick().unwrap_err();
    let none = Criteria::service(&ORDERS).capability("refund").unwrap();
    namespace.discovery().selector::<Command>(none).pick().unwrap_err();
    assert_eq!(["other_message", "none_fits"].map(picks), [Some(1), Some(1)]);
    let snapshot = namespace.telemetry().snapshot();
    assert_eq!(snapshot.counter(r#"discovery.fail_open_picks{service="orders"}"#), Some(1));
    namespace.discovery().check(Criteria::service(&ORDERS), InstanceCheck::function("ready", |_| ready(true))).unwrap();
    let checks = async || namespace.telemetry().prometheus().contains("discovery_check_duration_seconds").then_some(());
    eventually("the duration of a check", checks).await;
}

#[foundation::test]
async fn a_service_without_instances_is_measured_no_more(namespace: TestNamespace) {
    spawn(namespace.services(), "a").await;
    let gauge = || namespace.telemetry().prometheus().contains(r#"discovery_instances{"#);
    eventually("the measurement", async || gauge().then_some(())).await;
    assert!(namespace.discovery().unregister(&InstanceName::new(&ORDERS, "a").unwrap()));
    eventually("the end of the measurement", async || (!gauge()).then_some(())).await;
}

#[tokio::test]
async fn a_namespace_whose_expected_service_has_no_instance_is_not_healthy() {
    let options = DiscoveryOptions::new().expects(&ORDERS, 1);
    let foundation = Foundation::builder().discovery(options).start().await.unwrap();
    let health = foundation.production().health().await;
    let orders = health.services.iter().find(|it| it.name == "discovery/orders").unwrap();
    assert_eq!(orders.condition(), Condition::Down, "{health}");
    spawn(foundation.production(), "a").await;
    assert!(foundation.production().health().await.is_healthy());
    foundation.shutdown().await;
}
