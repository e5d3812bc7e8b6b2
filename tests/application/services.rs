//! Services that a program adds to every namespace, beside the foundation's own.

use foundation::health::Condition;
use foundation::names::Service;
use foundation::supervision::Health;
use foundation::{EventStore, Foundation, ServiceKey, TestNamespace};
use foundation_testkit::{Command, Log, Moment, Probe, Puppet};

static INDEX: ServiceKey<Command> = ServiceKey::from_static("index");
static SEARCH: ServiceKey<Command> = ServiceKey::from_static("search");

fn service(key: &'static ServiceKey<Command>, log: &Log) -> Service {
    let puppet = Puppet::new(key.name().as_str(), log);
    Service::new(key.name().clone(), move |names| {
        let puppet = puppet.clone();
        names.child_spec(key, move || (puppet.actor(), ()))
    })
}

#[tokio::test]
async fn services_of_a_program_start_in_the_order_of_their_needs_before_the_application_and_stop_in_reverse() {
    let log = Log::new();
    let clerk = Puppet::new("clerk", &log);
    let search = service(&SEARCH, &log).needs(INDEX.name().clone());
    let index = service(&INDEX, &log).needs(EventStore::NAME);
    let builder = Foundation::builder().child(move |_| clerk.spec()).service(search).service(index);
    let foundation = builder.start().await.unwrap();
    assert_eq!(log.of(&[Moment::Up]), ["index up", "search up", "clerk up"]);
    let tree = foundation.tree().await.to_string();
    let at = |row: &str| tree.find(row).unwrap_or_else(|| panic!("no {row} in\n{tree}"));
    assert!(at("event_store") < at("index") && at("index") < at("search") && at("search") < at("application"));
    foundation.shutdown().await;
    assert_eq!(log.of(&[Moment::Down]), ["clerk down", "search down", "index down"]);
}

#[tokio::test]
async fn a_service_that_needs_an_unknown_one_is_refused_with_a_similar_name() {
    let search = Service::new(SEARCH.name().clone(), |names| names.child_spec(&SEARCH, || (Probe::default(), ())));
    let needed = "event_stor".parse().unwrap();
    let refused = Foundation::builder().service(search.needs(needed)).start().await.map(drop).unwrap_err();
    let expected = "the registry did not start: service search needs event_stor, which is no service of the namespace; \
                    did you mean event_store?";
    assert_eq!(refused.to_string(), expected);
}

#[tokio::test]
async fn a_service_with_the_name_of_one_of_ours_is_refused() {
    let events = Service::new(EventStore::NAME, |names| names.child_spec(&SEARCH, || (Probe::default(), ())));
    let refused = Foundation::builder().service(events).start().await.map(drop).unwrap_err();
    assert_eq!(refused.to_string(), "the registry did not start: two services have the name event_store");
}

fn with_a_failing_index() -> foundation::FoundationBuilder {
    let index = Service::new(INDEX.name().clone(), |names| {
        let spec = names.child_spec(&INDEX, || (Probe::default(), ()));
        spec.health_check(|_| async { Health::Failed("it has no documents".to_owned()) })
    });
    let search = Service::new(SEARCH.name().clone(), |names| names.child_spec(&SEARCH, || (Probe::default(), ())));
    Foundation::builder().service(search.needs(INDEX.name().clone())).service(index)
}

#[foundation::test(builder = with_a_failing_index())]
async fn a_service_is_degraded_by_one_that_it_needs(namespace: TestNamespace) {
    let health = namespace.health().await.to_string();
    let line = |name: &str| health.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(line("index").contains("it has no documents"), "{health}");
    assert!(line("search").contains("degraded") && line("search").contains("index"), "{health}");
}

#[tokio::test]
async fn the_health_of_a_foundation_that_has_stopped_lists_the_services_of_a_program_as_well() {
    let foundation = with_a_failing_index().start().await.unwrap();
    let services = foundation.production().clone();
    foundation.shutdown().await;
    let health = services.health().await;
    let names: Vec<_> = health.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["telemetry", "event_store", "config_server", "discovery", "index", "search", "application"]);
    assert_eq!(health.condition(), Condition::Down);
    assert!(health.to_string().starts_with("telemetry      down: namespace production is not running"), "{health}");
}
